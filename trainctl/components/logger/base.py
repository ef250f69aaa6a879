"""The type that every logger returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol


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


class Folder(Protocol):
    """A folder of the run's directory for the files of a logger; no link in it is followed."""

    def create(self, name: str) -> BinaryIO:
        """Create a file."""

    def names(self) -> list[str]:
        """Return the names in it; none if it does not exist."""

    def read(self, name: str) -> bytes:
        """Return the content of a file; nothing if it cannot be read."""

    def remove(self, name: str) -> None:
        """Remove a file."""
