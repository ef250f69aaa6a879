"""Xavier (Glorot) initialisation."""

from typing import Annotated

from torch import nn

from trainctl.init.base import Distribution, draw


def xavier(*, model: nn.Module, distribution: Distribution, gain: Annotated[float, "(0, inf)"]) -> None:
    r"""Draw weights so that variances are kept forward and backward through linear and tanh layers.

    .. math:: \operatorname{Var}(w) = \frac{2\, g^2}{n_\text{in} + n_\text{out}}

    Biases become 0.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        distribution: ``uniform`` on :math:`\pm\sqrt{3 \operatorname{Var}}`, or ``normal``.
        gain: :math:`g` [1]; 1 for linear and sigmoid, 5/3 for tanh.

    Source: X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010, equation 16.
    """
    fill = nn.init.xavier_uniform_ if distribution == "uniform" else nn.init.xavier_normal_
    draw(model, lambda weight: fill(weight, gain=gain))
