"""Cosine decay with linear warmup."""

import math

from trainctl.components.schedule.base import Fraction, Multiplier, WarmupSteps, warmed_up


def cosine(*, warmup_steps: WarmupSteps, final_fraction: Fraction, total_steps: int) -> Multiplier:
    r"""Decay the learning rate along half a cosine, after a linear warmup.

    With warmup :math:`W`, total :math:`T` and final multiplier :math:`f`:

    .. math::
        m(t) &= (t + 1) / W & (t < W) \\
        m(t) &= f + (1 - f)\, \tfrac12 \left(1 + \cos \pi \tfrac{t - W}{T - W}\right) & (t \ge W)

    Args:
        warmup_steps: :math:`W` [optimizer steps], less than the run's length; 0 disables it.
        final_fraction: :math:`f`, multiplier at the end [1].
        total_steps: :math:`T` [optimizer steps]. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: I. Loshchilov, F. Hutter, SGDR, ICLR 2017, equation 5 (one cycle); the warmup is added.

    >>> m = cosine(warmup_steps=2, final_fraction=0.0, total_steps=10)
    >>> [round(m(t), 3) for t in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    def fall(step: int) -> float:
        progress = min(1.0, step / (total_steps - warmup_steps))
        return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))

    return warmed_up(fall, warmup_steps, total_steps)
