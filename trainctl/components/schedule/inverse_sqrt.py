"""Inverse square root decay."""

import math
from typing import Annotated

from trainctl.components.schedule.base import Multiplier, WarmupSteps, warmed_up


def inverse_sqrt(
    *, warmup_steps: WarmupSteps, timescale_steps: Annotated[int, "[1, inf)"], total_steps: int
) -> Multiplier:
    r"""Decay the learning rate with the inverse square root of the step, independently of the run's length.

    .. math:: m(t) = \sqrt{\frac{\tau}{\tau + t - W}}

    after a linear warmup of :math:`W` steps; with :math:`\tau = W` this is :math:`\sqrt{W / t}`.

    Args:
        warmup_steps: :math:`W` [optimizer steps], less than the run's length; 0 disables it.
        timescale_steps: :math:`\tau` [optimizer steps]; the rate is halved :math:`3 \tau` steps after the warmup.
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: A. Vaswani et al., Attention is all you need, NeurIPS 2017, equation 3, for :math:`\tau = W`, where the
    optimizer's rate is the highest one; the separate time scale is that of X. Zhai et al., Scaling vision transformers,
    2022.

    >>> m = inverse_sqrt(warmup_steps=4, timescale_steps=4, total_steps=100)
    >>> [round(m(t), 3) for t in (0, 3, 4, 16, 64)]
    [0.25, 1.0, 1.0, 0.5, 0.25]
    """
    return warmed_up(lambda step: math.sqrt(timescale_steps / (timescale_steps + step)), warmup_steps, total_steps)
