"""Decay at milestones."""

import math
from bisect import bisect_right
from typing import Annotated

from trainctl.components.schedule.base import Multiplier, WarmupSteps, warmed_up
from trainctl.errors import ConfigError
from trainctl.wording import amount


def multistep(
    *,
    warmup_steps: WarmupSteps,
    milestones: list[Annotated[int, "[1, inf)"] | Annotated[float, "(0, 1)"]],
    gamma: Annotated[float, "(0, 1]"],
    total_steps: int,
    steps_per_epoch: int,
) -> Multiplier:
    r"""Multiply the learning rate by a factor at each milestone, after a linear warmup.

    .. math:: m(t) = \gamma^{\,\left|\{i : M_i \le t\}\right|}

    Args:
        warmup_steps: Length of the warmup [optimizer steps], before the first milestone; 0 disables it.
        milestones: :math:`M_i`, counted from the start of the run: whole numbers are epochs, numbers below 1 are
            fractions of the run.
        gamma: :math:`\gamma`, factor at each milestone [1].
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.
        steps_per_epoch: Optimizer steps per epoch. Supplied by ``assemble``.

    Raises:
        ConfigError: If milestones are not strictly increasing, or are after the end of the run or inside the warmup.

    Source: equals PyTorch's ``MultiStepLR`` stepped once per epoch; the default, a tenth after a half and three
    quarters of the run, follows K. He et al., Deep residual learning, CVPR 2016, section 4.2.

    >>> m = multistep(warmup_steps=0, milestones=[0.5, 3], gamma=0.1, total_steps=20, steps_per_epoch=5)
    >>> [round(m(t), 3) for t in (0, 9, 10, 14, 15)]
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    times = [milestone * (total_steps if milestone < 1 else steps_per_epoch) for milestone in milestones]
    steps = [math.ceil(time - 1e-9) for time in times]  # 0.7 of 10 is 7, despite binary fractions
    setting = f"schedule.milestones=[{','.join(map(str, milestones))}]"
    if times != sorted(set(times)):
        raise ConfigError(f"{setting}: milestones must be strictly increasing")
    if times and times[-1] >= total_steps:
        epochs = total_steps / steps_per_epoch
        raise ConfigError(
            f"{setting}: the run ends after {amount(epochs, 'epoch')}, before {milestones[-1]} (a whole number is an epoch,"
            " a number below 1 a fraction of the run)"
        )
    if steps and steps[0] < warmup_steps:
        raise ConfigError(
            f"{setting}: schedule.warmup_steps={warmup_steps} must end before the first milestone (step {steps[0]})"
        )
    return warmed_up(lambda step: float(gamma ** bisect_right(steps, step + warmup_steps)), warmup_steps, total_steps)
