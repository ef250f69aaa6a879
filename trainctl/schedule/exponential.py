"""Exponential decay."""

from typing import Annotated

from trainctl.schedule.base import Schedule


def exponential(*, gamma: Annotated[float, "(0, 1]"], staircase: bool, steps_per_epoch: int) -> Schedule:
    r"""Multiply the learning rate by a factor in every epoch, smoothly or at once.

    .. math:: m(t) = \gamma^{t / s}, \quad\text{or with a staircase}\quad \gamma^{\lfloor t / s \rfloor}

    with :math:`s` optimizer steps an epoch.

    Args:
        gamma: :math:`\gamma` [1].
        staircase: Whether the rate changes only at the start of an epoch.
        steps_per_epoch: :math:`s`. Supplied by ``assemble``.

    Source: with a staircase it equals PyTorch's ``ExponentialLR`` stepped once an epoch.

    >>> m = exponential(gamma=0.5, staircase=False, steps_per_epoch=4)
    >>> [round(m(t), 3) for t in (0, 2, 4, 8)]
    [1.0, 0.707, 0.5, 0.25]
    """
    if staircase:
        return lambda step: float(gamma ** (step // steps_per_epoch))
    return lambda step: float(gamma ** (step / steps_per_epoch))
