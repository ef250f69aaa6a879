"""Xavier (Glorot) initialisation, uniform."""

from torch import nn

from trainctl.components.init.base import Gain, gain_of, spread


def xavier_uniform(*, model: nn.Module, gain: Gain, bias: float) -> None:
    r"""Draw weights from a uniform distribution that preserves variances through linear and tanh layers.

    .. math:: w \sim U\left(-g \sqrt{\tfrac{6}{n_\text{in} + n_\text{out}}},\; g \sqrt{\tfrac{6}{n_\text{in} + n_\text{out}}}\right)

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        gain: :math:`g` [1], or an activation that determines it: 1 for linear and sigmoid, 5/3 for tanh.
        bias: Value of every bias; norm layers keep theirs.

    Source: X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010, equation 16.
    """
    factor = 2 * gain_of(gain) ** 2
    spread(model, lambda inputs, outputs: factor / (inputs + outputs), "uniform", bias)
