"""The types that schedules return, and the warmup that several of them use."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from trainctl.errors import ConfigError
from trainctl.wording import amount

WarmupSteps = Annotated[int, "[0, inf)"]
Fraction = Annotated[float, "[0, 1]"]

# step, or the clock's position in steps -> multiplier of each group's base learning rate; a pure function
Multiplier = Callable[[int], float]


@dataclass(frozen=True)
class Reaction:
    """The state of a schedule that reacts to a metric; plain numbers that are saved with the train state.

    Args:
        factor: Factor by which the multiplier of the step is multiplied.
        best: The best value so far; None before the first evaluation.
        waited: Number of evaluations since the best one.
        cooling: Number of further evaluations that are not counted after a reduction.
    """

    factor: Annotated[float, "[0, inf)"] = 1.0
    best: float | None = None
    waited: Annotated[int, "[0, inf)"] = 0
    cooling: Annotated[int, "[0, inf)"] = 0


def unmoved(state: Reaction, value: float) -> Reaction:
    """Return the state unchanged."""
    return state


@dataclass(frozen=True)
class Schedule:
    """A complete schedule; a component may also return only the multiplier, which is all that most schedules need.

    Args:
        multiplier: Multiplier of each group's base learning rate.
        momentum: ``step -> momentum``, which replaces the optimizer's momentum or beta1; None leaves it unchanged.
        react: ``(state, value of the monitored metric) -> state``, called after every evaluation; a pure function.
    """

    multiplier: Multiplier
    momentum: Callable[[int], float] | None = None
    react: Callable[[Reaction, float], Reaction] = unmoved


def as_schedule(built: Multiplier | Schedule) -> Schedule:
    """Return the result of a schedule component as a Schedule."""
    return built if isinstance(built, Schedule) else Schedule(built)


def warmed_up(after: Multiplier, warmup_steps: int, total_steps: int) -> Multiplier:
    r"""Put a linear warmup before a schedule, which starts when the warmup ends.

    .. math::
        m(t) &= (t + 1) / W & (t < W) \\
        m(t) &= m_0(t - W) & (t \ge W)

    Args:
        after: :math:`m_0`, the schedule without warmup.
        warmup_steps: :math:`W` [optimizer steps]; 0 returns ``after`` unchanged.
        total_steps: Length of the run [optimizer steps].

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    >>> m = warmed_up(lambda step: 0.5**step, warmup_steps=2, total_steps=10)
    >>> [m(step) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if warmup_steps >= total_steps:
        raise ConfigError(f"schedule.warmup_steps={warmup_steps} must be below the run's {amount(total_steps, 'step')}")
    if not warmup_steps:
        return after
    return lambda step: (step + 1) / warmup_steps if step < warmup_steps else after(step - warmup_steps)
