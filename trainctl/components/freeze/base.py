"""The type that every freezing returns."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Freeze:
    """Which layers are not trained, as a function of the step.

    A frozen layer keeps every bit: its weights get no gradient, so neither optimizer, weight decay nor momentum changes
    them, no projection does, and the statistics of its batch norms do not move.

    Args:
        held: ``(step) -> number of layers``, counted from the input, that do not change in the step with this number,
            counted from 0.
    """

    held: Callable[[int], int]
