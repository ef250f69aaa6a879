"""What every schedule returns, and the warmup they share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from trainctl.errors import ConfigError

WarmupSteps = Annotated[int, "[0, inf)"]
Fraction = Annotated[float, "[0, 1]"]

# step, or a clock's position in steps -> multiplier of every group's base learning rate; a pure function
Multiplier = Callable[[int], float]


@dataclass(frozen=True)
class Reaction:
    """What a schedule that reacts to a metric remembers between evaluations; plain numbers, saved with the state.

    Args:
        factor: Multiplies what the step alone gives.
        best: The best value so far; None before the first.
        waited: Evaluations since then.
        cooling: Evaluations that are not counted any more after a reduction.
    """

    factor: float = 1.0
    best: float | None = None
    waited: int = 0
    cooling: int = 0


def unmoved(state: Reaction, value: float) -> Reaction:
    """React to nothing."""
    return state


@dataclass(frozen=True)
class Schedule:
    """A schedule with all it can do; most are a multiplier alone, and a plain function is enough for them.

    Args:
        multiplier: Of every group's base learning rate.
        momentum: ``step -> momentum``, in place of the optimizer's own (or its beta1); None leaves that alone.
        react: ``(state, value of the monitored metric) -> state``, after every evaluation; pure.
    """

    multiplier: Multiplier
    momentum: Callable[[int], float] | None = None
    react: Callable[[Reaction, float], Reaction] = unmoved


def complete(found: Multiplier | Schedule) -> Schedule:
    """Return what a component returned as a Schedule."""
    return found if isinstance(found, Schedule) else Schedule(found)


def warmed_up(after: Multiplier, warmup_steps: int, total_steps: int) -> Multiplier:
    r"""Put a linear warmup before a schedule, whose own steps begin when it ends.

    .. math::
        m(t) &= (t + 1) / W & (t < W) \\
        m(t) &= m_0(t - W) & (t \ge W)

    Args:
        after: :math:`m_0`, the schedule without warmup.
        warmup_steps: :math:`W` [optimizer steps]; 0 returns ``after`` as it is.
        total_steps: Length of the run [optimizer steps].

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    >>> m = warmed_up(lambda step: 0.5**step, warmup_steps=2, total_steps=10)
    >>> [m(step) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if warmup_steps >= total_steps:
        raise ConfigError(f"schedule.warmup_steps={warmup_steps} must be below the run's {total_steps} steps")
    if not warmup_steps:
        return after
    return lambda step: (step + 1) / warmup_steps if step < warmup_steps else after(step - warmup_steps)
