"""What every logger returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Logger:
    """Where metrics go beside the run's own files.

    Args:
        log: Takes the step and the metrics (``split/name`` -> value) of one evaluation.
        close: Called once, at the end.
    """

    log: Callable[[int, Mapping[str, float]], None]
    close: Callable[[], None]
