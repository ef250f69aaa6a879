"""The type that every logger returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Logger:
    """A destination for metrics in addition to the run's own files.

    Args:
        log: Called with the step and the metrics (``split/name`` -> value) of each evaluation.
        close: Called once, at the end.
        restart: Called when a run is resumed or goes back to a checkpoint, with the steps and metrics that still count:
            the evaluations after them will be repeated. None if the logger cannot take anything back.
    """

    log: Callable[[int, Mapping[str, float]], None]
    close: Callable[[], None]
    restart: Callable[[Sequence[tuple[int, Mapping[str, float]]]], None] | None = None
