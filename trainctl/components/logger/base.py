"""The type that every logger returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Logger:
    """A destination for metrics in addition to the run's own files.

    Args:
        log: Called with the step and the metrics (``split/name`` -> value) of each evaluation.
        close: Called once, at the end.
    """

    log: Callable[[int, Mapping[str, float]], None]
    close: Callable[[], None]
