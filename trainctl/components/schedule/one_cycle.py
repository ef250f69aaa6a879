"""One cycle of the learning rate, and of the momentum in the opposite direction."""

import math
from typing import Annotated, Literal

from trainctl.components.schedule.base import Schedule
from trainctl.errors import ConfigError

Divisor = Annotated[float, "[1, inf)"]
Momentum = Annotated[float, "(0, 1)"]  # an optimizer with momentum 0 counts as one without momentum


def one_cycle(
    *,
    peak_fraction: Annotated[float, "(0, 1)"],
    start_divisor: Divisor,
    final_divisor: Divisor,
    anneal: Literal["cosine", "linear"],
    three_phase: bool,
    cycle_momentum: bool,
    low_momentum: Momentum,
    high_momentum: Momentum,
    total_steps: int,
) -> Schedule:
    r"""Raise the learning rate once and lower it far below its start, while the momentum does the opposite.

    The multiplier goes from :math:`1 / D` to 1 at step :math:`p T - 1` and to :math:`1 / (D F)` at :math:`T - 1`; with
    three phases it goes back to :math:`1 / D` at step :math:`2 p T - 2` in between. Between two such points :math:`a, b`,
    with :math:`x` from 0 to 1:

    .. math:: m = b + \tfrac{a - b}{2} (1 + \cos \pi x) \quad\text{or, linear,}\quad a + (b - a)\, x

    The momentum goes from high to low and back to high at the same steps. It replaces the optimizer's momentum or
    beta1; an optimizer without momentum, or with momentum 0, is left unchanged.

    Args:
        peak_fraction: :math:`p`, fraction of the run after which the rate is highest [1].
        start_divisor: :math:`D`, ratio of the highest rate to the first.
        final_divisor: :math:`F`, ratio of the first rate to the last.
        anneal: Shape of the curve between two points.
        three_phase: Whether a fall as long as the rise precedes the final phase; needs ``peak_fraction`` below 0.5.
        cycle_momentum: Whether the momentum changes too.
        low_momentum: Momentum at the highest rate [1].
        high_momentum: Momentum at the start and at the end [1].
        total_steps: :math:`T` [optimizer steps]. Supplied by ``assemble``.

    Raises:
        ConfigError: If three phases do not fit into the run, or the low momentum is above the high one.

    Source: L. Smith, N. Topin, Super-convergence, 2018, and fastai's two phases; equals PyTorch's ``OneCycleLR`` and
    has its defaults. They differ for optimizers without momentum, which PyTorch rejects or gives a momentum.

    >>> s = one_cycle(
    ...     peak_fraction=0.5, start_divisor=10.0, final_divisor=10.0, anneal="linear", three_phase=False,
    ...     cycle_momentum=True, low_momentum=0.85, high_momentum=0.95, total_steps=10,
    ... )  # fmt: skip
    >>> [round(s.multiplier(t), 3) for t in (0, 2, 4, 9)], [round(s.momentum(t), 3) for t in (0, 2, 4, 9)]
    ([0.1, 0.55, 1.0, 0.01], [0.95, 0.9, 0.85, 0.95])
    """
    if three_phase and peak_fraction >= 0.5:
        raise ConfigError(f"schedule.peak_fraction={peak_fraction} must be below 0.5 with schedule.three_phase=true")
    if low_momentum > high_momentum:
        raise ConfigError(
            f"schedule.low_momentum={low_momentum} must not be above schedule.high_momentum={high_momentum}"
        )
    first, last = 1 / start_divisor, 1 / (start_divisor * final_divisor)
    end = total_steps - 1.0
    peak = peak_fraction * total_steps - 1
    if three_phase:
        times, rates = [0.0, peak, 2 * peak, end], [first, 1.0, first, last]
        momenta = [high_momentum, low_momentum, high_momentum, high_momentum]
    else:
        times, rates = [0.0, peak, end], [first, 1.0, last]
        momenta = [high_momentum, low_momentum, high_momentum]

    def between(step: int, values: list[float]) -> float:
        index = next((i for i in range(1, len(times)) if step <= times[i]), len(times) - 1)
        length = times[index] - times[index - 1]
        progress = min(1.0, (step - times[index - 1]) / length) if length > 0 else 1.0
        before, after = values[index - 1], values[index]
        if anneal == "linear":
            return before + (after - before) * progress
        return after + (before - after) / 2 * (1 + math.cos(math.pi * progress))

    return Schedule(
        multiplier=lambda step: between(step, rates),
        momentum=(lambda step: between(step, momenta)) if cycle_momentum else None,
    )
