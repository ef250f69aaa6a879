"""Decay at given times."""

import math
from bisect import bisect_right
from typing import Annotated

from trainctl.components.schedule.base import Multiplier, WarmupSteps, warmed_up
from trainctl.errors import ConfigError


def multistep(
    *,
    warmup_steps: WarmupSteps,
    milestones: list[Annotated[int, "[1, inf)"] | Annotated[float, "(0, 1)"]],
    gamma: Annotated[float, "(0, 1]"],
    total_steps: int,
    steps_per_epoch: int,
) -> Multiplier:
    r"""Multiply the learning rate by a factor at each of some milestones, after a linear warmup.

    .. math:: m(t) = \gamma^{\,\left|\{i : M_i \le t\}\right|}

    Args:
        warmup_steps: Length of the warmup [optimizer steps], before the first milestone; 0 disables it.
        milestones: :math:`M_i`: whole numbers are epochs, fractions are shares of the run; counted from its start.
        gamma: :math:`\gamma` [1].
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.
        steps_per_epoch: Supplied by ``assemble``.

    Raises:
        ConfigError: If milestones do not rise, lie beyond the run's end or inside the warmup.

    Source: equals PyTorch's ``MultiStepLR`` stepped once an epoch; by a tenth at a half and three quarters of the run
    as in K. He et al., Deep residual learning, CVPR 2016, section 4.2.

    >>> m = multistep(warmup_steps=0, milestones=[0.5, 3], gamma=0.1, total_steps=20, steps_per_epoch=5)
    >>> [round(m(t), 3) for t in (0, 9, 10, 14, 15)]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    times = [at * (total_steps if at < 1 else steps_per_epoch) for at in milestones]
    steps = [math.ceil(time - 1e-9) for time in times]  # 0.7 of 10 is 7, whatever binary fractions say
    given = f"schedule.milestones=[{','.join(map(str, milestones))}]"
    if times != sorted(set(times)):
        raise ConfigError(f"{given}: each must come after the one before")
    if times and times[-1] >= total_steps:
        epochs = total_steps / steps_per_epoch
        raise ConfigError(
            f"{given}: the run ends after {epochs:g} epochs, before {milestones[-1]} (fractions are shares)"
        )
    if steps and steps[0] < warmup_steps:
        raise ConfigError(f"{given}: schedule.warmup_steps={warmup_steps} ends after the first, at step {steps[0]}")
    return warmed_up(lambda step: float(gamma ** bisect_right(steps, step + warmup_steps)), warmup_steps, total_steps)
