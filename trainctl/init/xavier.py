"""Xavier (Glorot) initialisation."""

from torch import nn

from trainctl.init.base import Distribution, Gain, gain_of, spread


def xavier(*, model: nn.Module, distribution: Distribution, gain: Gain) -> None:
    r"""Draw weights so that variances are kept forward and backward through linear and tanh layers.

    .. math:: \operatorname{Var}(w) = \frac{2\, g^2}{n_\text{in} + n_\text{out}}

    Biases become 0. ``init=xavier_uniform`` and ``init=xavier_normal`` take a bias, too.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        distribution: ``uniform`` on :math:`\pm\sqrt{3 \operatorname{Var}}`, or ``normal``.
        gain: :math:`g` [1], or the activation to take it from: 1 for linear and sigmoid, 5/3 for tanh.

    Source: X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010, equation 16.
    """
    factor = 2 * gain_of(gain) ** 2
    spread(model, lambda inputs, outputs: factor / (inputs + outputs), distribution)
