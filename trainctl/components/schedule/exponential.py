"""Exponential decay."""

from typing import Annotated

from trainctl.components.schedule.base import Multiplier, WarmupSteps, warmed_up


def exponential(
    *,
    warmup_steps: WarmupSteps,
    gamma: Annotated[float, "(0, 1]"],
    staircase: bool,
    total_steps: int,
    steps_per_epoch: int,
) -> Multiplier:
    r"""Multiply the learning rate by a factor per epoch, continuously or once per epoch.

    .. math:: m(t) = \gamma^{(t - W) / s}, \quad\text{or with a staircase}\quad \gamma^{\lfloor (t - W) / s \rfloor}

    with :math:`s` optimizer steps per epoch, after a linear warmup of :math:`W` steps.

    Args:
        warmup_steps: :math:`W` [optimizer steps], less than the run's length; 0 disables it.
        gamma: :math:`\gamma`, factor per epoch [1].
        staircase: Whether the rate changes only once per epoch, counted from the end of the warmup.
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.
        steps_per_epoch: :math:`s`, optimizer steps per epoch. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: with a staircase, this equals PyTorch's ``ExponentialLR`` stepped once per epoch; the warmup is added.

    >>> m = exponential(warmup_steps=0, gamma=0.5, staircase=False, total_steps=12, steps_per_epoch=4)
    >>> [round(m(t), 3) for t in (0, 2, 4, 8)]
    [1.0, 0.707, 0.5, 0.25]
    """
    if staircase:
        return warmed_up(lambda step: float(gamma ** (step // steps_per_epoch)), warmup_steps, total_steps)
    return warmed_up(lambda step: float(gamma ** (step / steps_per_epoch)), warmup_steps, total_steps)
