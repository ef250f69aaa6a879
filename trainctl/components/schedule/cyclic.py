"""Triangular cycles."""

from typing import Annotated, Literal

from trainctl.components.schedule.base import Fraction, Multiplier


def cyclic(
    *,
    mode: Literal["triangular", "triangular2", "exp_range"],
    up_epochs: Annotated[int, "[1, inf)"],
    down_epochs: Annotated[int, "[1, inf)"] | None,
    low_fraction: Fraction,
    gamma: Annotated[float, "(0, 1]"],
    steps_per_epoch: int,
) -> Multiplier:
    r"""Raise and lower the learning rate linearly, in cycles.

    .. math::
        m(t) &= l + (1 - l)\, h_t\, a(t) \\
        a(t) &= 1 &\text{triangular} \\
        a(t) &= 2^{-c} &\text{triangular2} \\
        a(t) &= \gamma^t &\text{exp\_range}

    with a triangular wave :math:`h_t` between 0 and 1, in cycle :math:`c = 0, 1, \ldots`

    Args:
        mode: Whether the amplitude is constant, is halved in every cycle, or decreases with every step.
        up_epochs: Length of the rise [epochs]; Smith recommends 2 to 10.
        down_epochs: Length of the fall [epochs]; null: the same as the rise.
        low_fraction: :math:`l`, multiplier at the lowest points [1]; at the highest points it is 1.
        gamma: :math:`\gamma`, factor per step in mode ``exp_range``.
        steps_per_epoch: Optimizer steps per epoch. Supplied by ``assemble``.

    Source: L. Smith, Cyclical learning rates for training neural networks, WACV 2017, section 3.1; equals PyTorch's
    ``CyclicLR`` without its momentum cycle.

    >>> m = cyclic(mode="triangular2", up_epochs=1, down_epochs=None, low_fraction=0.2, gamma=1.0, steps_per_epoch=4)
    >>> [round(m(t), 3) for t in (0, 2, 4, 6, 8, 12)]
    [0.2, 0.6, 1.0, 0.6, 0.2, 0.6]
    """
    up = up_epochs * steps_per_epoch
    down = up if down_epochs is None else down_epochs * steps_per_epoch

    def multiplier(step: int) -> float:
        cycle, position = divmod(step, up + down)
        height = position / up if position <= up else (up + down - position) / down
        amplitude = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": gamma**step}[mode]
        return float(low_fraction + (1 - low_fraction) * height * amplitude)

    return multiplier
