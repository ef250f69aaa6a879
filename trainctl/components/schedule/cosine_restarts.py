"""Cosine decay with restarts."""

import math
from typing import Annotated

from trainctl.components.schedule.base import Fraction, Multiplier, WarmupSteps, warmed_up


def cosine_restarts(
    *,
    warmup_steps: WarmupSteps,
    first_epochs: Annotated[int, "[1, inf)"],
    factor: Annotated[int, "[1, inf)"],
    final_fraction: Fraction,
    total_steps: int,
    steps_per_epoch: int,
) -> Multiplier:
    r"""Decay the learning rate along half a cosine repeatedly, each time over a longer period.

    .. math:: m(t) = f + (1 - f)\, \tfrac12 \left(1 + \cos \pi \tfrac{T_c}{T_i}\right), \qquad T_i = F^i\, T_0

    with :math:`T_c` steps since the last restart, after a linear warmup.

    Args:
        warmup_steps: Length of the warmup [optimizer steps], less than the run's length; 0 disables it.
        first_epochs: :math:`T_0`, length of the first period [epochs].
        factor: :math:`F`, ratio of each period to the previous one.
        final_fraction: :math:`f`, multiplier at the end of every period [1].
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.
        steps_per_epoch: Optimizer steps per epoch. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: I. Loshchilov, F. Hutter, SGDR, ICLR 2017, equation 5, with :math:`T_0 = 10, F = 2` as in section 4.1;
    equals PyTorch's ``CosineAnnealingWarmRestarts`` stepped after every optimizer step. The warmup is added.

    >>> settings = {"warmup_steps": 0, "final_fraction": 0.0, "total_steps": 60, "steps_per_epoch": 10}
    >>> m = cosine_restarts(first_epochs=1, factor=2, **settings)
    >>> [round(m(t), 3) for t in (0, 5, 9, 10, 20, 30)]
    [1.0, 0.5, 0.024, 1.0, 0.5, 1.0]
    """

    def fall(step: int) -> float:
        period = first_epochs * steps_per_epoch
        if factor == 1:
            step %= period
        while step >= period:
            step, period = step - period, period * factor
        return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * step / period))

    return warmed_up(fall, warmup_steps, total_steps)
