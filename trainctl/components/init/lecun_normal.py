"""LeCun's initialisation, normal."""

from torch import nn

from trainctl.components.init.base import Gain, gain_of, spread


def lecun_normal(*, model: nn.Module, gain: Gain, bias: float) -> None:
    r"""Draw weights from a normal distribution whose variance is one over a unit's inputs; for SELU and tanh.

    .. math:: w \sim N\left(0,\; g^2 / n_\text{in}\right)

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        gain: :math:`g` [1], or the activation to take it from; 1 is LeCun's.
        bias: Value of every bias; norm layers keep theirs.

    Source: Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller, Efficient BackProp, 1998, section 4.6; for SELU:
    G. Klambauer et al., Self-normalizing neural networks, 2017. Not truncated, as Keras's is.
    """
    factor = gain_of(gain) ** 2
    spread(model, lambda inputs, outputs: factor / inputs, "normal", bias)
