"""Decay in steps."""

from typing import Annotated

from trainctl.schedule.base import Schedule


def step(
    *, every_epochs: Annotated[int, "[1, inf)"], gamma: Annotated[float, "(0, 1]"], steps_per_epoch: int
) -> Schedule:
    r"""Multiply the learning rate by a factor every few epochs.

    .. math:: m(t) = \gamma^{\lfloor t / (E\, s) \rfloor}

    with :math:`s` optimizer steps an epoch.

    Args:
        every_epochs: :math:`E` [epochs].
        gamma: :math:`\gamma` [1].
        steps_per_epoch: :math:`s`. Supplied by ``assemble``.

    Source: equals PyTorch's ``StepLR`` stepped once an epoch.

    >>> m = step(every_epochs=2, gamma=0.1, steps_per_epoch=5)
    >>> [round(m(t), 3) for t in (0, 9, 10, 20)]
    [1.0, 1.0, 0.1, 0.01]
    """
    return lambda step: float(gamma ** (step // (every_epochs * steps_per_epoch)))
