"""The type of early-stopping rules: a pure function from one state to the next."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

Count = Annotated[int, "[0, inf)"]


@dataclass(frozen=True)
class Stopping:
    """The state of a rule between evaluations.

    Args:
        best: The best value so far; None before the first evaluation.
        waited: Number of evaluations since the best one.
        limit: Number of evaluations after which the rule stops; None for a rule that does not count them.
        stop: Whether training should stop.
        reason: Why it should stop; follows "early stopping: ".
    """

    best: float | None = None
    waited: Count = 0
    limit: Count | None = None
    stop: bool = False
    reason: str = ""


# (state, value of the monitored metric, epochs done, time spent training [s]) -> state
Rule = Callable[[Stopping, float, int, float], Stopping]
