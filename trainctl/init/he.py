"""He (Kaiming) initialisation."""

from typing import Annotated

from torch import nn

from trainctl.init.base import Distribution, Fan, spread


def he(*, model: nn.Module, distribution: Distribution, fan: Fan, negative_slope: Annotated[float, "[0, inf)"]) -> None:
    r"""Draw weights so that variances are kept through layers with ReLU.

    .. math:: \operatorname{Var}(w) = \frac{2}{(1 + a^2)\, n}

    Biases become 0. ``init=he_normal`` and ``init=he_uniform`` take a gain and a bias instead.

    Args:
        model: The model whose weights are drawn. Supplied by ``assemble``.
        distribution: ``normal``, or ``uniform`` on :math:`\pm\sqrt{3 \operatorname{Var}}`.
        fan: Whether :math:`n` counts a unit's inputs (kept forward) or outputs (kept backward).
        negative_slope: Slope :math:`a` of a leaky ReLU [1]; 0 for ReLU.

    Source: K. He, X. Zhang, S. Ren, J. Sun, Delving deep into rectifiers, 2015, equations 10 and 15.
    """
    factor = 2 / (1 + negative_slope**2)
    spread(model, lambda inputs, outputs: factor / (inputs if fan == "in" else outputs), distribution)
