"""LeCun's initialisation, normal."""

from torch import nn

from trainctl.components.init.base import Gain, gain_of, spread


def lecun_normal(*, model: nn.Module, gain: Gain, bias: float) -> None:
    r"""Draw weights from a normal distribution with variance 1 / inputs, for SELU and tanh.

    .. math:: w \sim N\left(0,\; g^2 / n_\text{in}\right)

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        gain: :math:`g` [1], or an activation that determines it; LeCun's is 1.
        bias: Value of every bias; norm layers keep theirs.

    Source: Y. LeCun, L. Bottou, G. Orr, K.-R. Mueller, Efficient BackProp, 1998, section 4.6; for SELU:
    G. Klambauer et al., Self-normalizing neural networks, 2017. Keras truncates the distribution; this does not.
    """
    factor = gain_of(gain) ** 2
    spread(model, lambda inputs, outputs: factor / inputs, "normal", bias)
