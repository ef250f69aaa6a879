"""He (Kaiming) initialisation, normal."""

from torch import nn

from trainctl.components.init.base import Fan, Gain, gain_of, spread


def he_normal(*, model: nn.Module, fan: Fan, gain: Gain, bias: float) -> None:
    r"""Draw weights from a normal distribution that preserves variances through layers with ReLU.

    .. math:: w \sim N\left(0,\; g^2 / n\right)

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        fan: Whether :math:`n` is the number of a unit's inputs (preserves the variance in the forward pass) or outputs
            (in the backward pass).
        gain: :math:`g` [1], or an activation that determines it: :math:`\sqrt 2` for ReLU.
        bias: Value of every bias; norm layers keep theirs.

    Source: K. He, X. Zhang, S. Ren, J. Sun, Delving deep into rectifiers, 2015, equations 10 and 15.
    """
    factor = gain_of(gain) ** 2
    spread(model, lambda inputs, outputs: factor / (inputs if fan == "in" else outputs), "normal", bias)
