"""Stepwise decay."""

from typing import Annotated

from trainctl.components.schedule.base import Multiplier, WarmupSteps, warmed_up


def step(
    *,
    warmup_steps: WarmupSteps,
    every_epochs: Annotated[int, "[1, inf)"],
    gamma: Annotated[float, "(0, 1]"],
    total_steps: int,
    steps_per_epoch: int,
) -> Multiplier:
    r"""Multiply the learning rate by a factor every few epochs.

    .. math:: m(t) = \gamma^{\lfloor (t - W) / (E\, s) \rfloor}

    with :math:`s` optimizer steps per epoch, after a linear warmup of :math:`W` steps.

    Args:
        warmup_steps: :math:`W` [optimizer steps], less than the run's length; 0 disables it.
        every_epochs: :math:`E` [epochs], counted from the end of the warmup.
        gamma: :math:`\gamma`, factor at each step of the decay [1].
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.
        steps_per_epoch: :math:`s`, optimizer steps per epoch. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: equals PyTorch's ``StepLR`` stepped once per epoch; the warmup is added.

    >>> m = step(warmup_steps=0, every_epochs=2, gamma=0.1, total_steps=30, steps_per_epoch=5)
    >>> [round(m(t), 3) for t in (0, 9, 10, 20)]
    [1.0, 1.0, 0.1, 0.01]
    """
    return warmed_up(lambda step: float(gamma ** (step // (every_epochs * steps_per_epoch))), warmup_steps, total_steps)
