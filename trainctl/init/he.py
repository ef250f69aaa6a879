"""He (Kaiming) initialisation."""

from typing import Annotated, Literal

from torch import nn

from trainctl.init.base import Distribution, draw


def he(
    *,
    model: nn.Module,
    distribution: Distribution,
    fan: Literal["in", "out"],
    negative_slope: Annotated[float, "[0, inf)"],
) -> None:
    r"""Draw weights so that variances are kept through layers with ReLU.

    .. math:: \operatorname{Var}(w) = \frac{2}{(1 + a^2)\, n}

    Biases become 0.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        distribution: ``normal``, or ``uniform`` on :math:`\pm\sqrt{3 \operatorname{Var}}`.
        fan: Whether :math:`n` counts a unit's inputs (kept forward) or outputs (kept backward).
        negative_slope: Slope :math:`a` of a leaky ReLU [1]; 0 for ReLU.

    Source: K. He, X. Zhang, S. Ren, J. Sun, Delving deep into rectifiers, 2015, equations 10 and 15.
    """
    fill = nn.init.kaiming_uniform_ if distribution == "uniform" else nn.init.kaiming_normal_
    mode: Literal["fan_in", "fan_out"] = "fan_in" if fan == "in" else "fan_out"
    draw(model, lambda weight: fill(weight, a=negative_slope, mode=mode, nonlinearity="leaky_relu"))
