"""What every early-stopping rule is: a pure function from one state to the next."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stopping:
    """What a rule remembers between evaluations.

    Args:
        best: The best value so far; None before the first.
        waited: Evaluations since then.
        limit: How many evaluations may pass; None for a rule that does not count.
        stop: Whether training is to end.
        reason: Why, in words that follow "early stopping: ".
    """

    best: float | None = None
    waited: int = 0
    limit: int | None = None
    stop: bool = False
    reason: str = ""


# (state, value of the monitored metric, epochs done, time spent training [s]) -> state
Rule = Callable[[Stopping, float, int, float], Stopping]
