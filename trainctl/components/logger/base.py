"""The type that every logger returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

Steps = Sequence[
    tuple[int, Mapping[str, float]]
]  # the step of each evaluation, and its metrics (`split/name` -> value)


@dataclass(frozen=True)
class Session:
    """The name and the settings of a run, which a logger receives when training starts or continues.

    Args:
        name: The name of the run's directory.
        settings: Every setting by its key, such as ``optimizer.lr``; plain values.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Logger:
    """A destination for metrics in addition to the run's own files.

    Functions are called in this order: ``start`` and ``restart`` at the start of each session (a new run, or one that is
    resumed), ``log`` after each evaluation, ``finish`` at the end, then ``picture`` for each plot, and ``close``. Whatever
    they raise is reported once and does not end the run; a logger that fails three times in a row is not called again.

    Args:
        log: Called with the step and the metrics (``split/name`` -> value) of each evaluation.
        close: Called once, at the end.
        restart: Called when a session starts, or the run goes back to a checkpoint, with the steps and metrics that still
            count: the evaluations after them will be repeated. None if the logger cannot take anything back.
        start: Called with the run's name and settings. None if the logger does not show them.
        picture: Called with the name and the bytes of a PNG. None if the logger shows no pictures.
        finish: Called with the content of ``summary.json``. None if the logger does not show how a run ended.
    """

    log: Callable[[int, Mapping[str, float]], None]
    close: Callable[[], None]
    restart: Callable[[Steps], None] | None = None
    start: Callable[[Session], None] | None = None
    picture: Callable[[str, bytes], None] | None = None
    finish: Callable[[Mapping[str, Any]], None] | None = None


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


def numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return what a summary says in numbers: the metrics of the best step, the number of steps, and the time [s]."""
    plain = {key: summary[key] for key in ("steps", "epochs", "seconds") if isinstance(summary.get(key), int | float)}
    return plain | dict(summary.get("metrics") or {})


class Record:
    """Remembers which metrics a service has received that cannot take anything back.

    Args:
        sent: What it has received already.
    """

    def __init__(self, sent: Mapping[tuple[int, str], float] | None = None) -> None:
        self.sent: dict[tuple[int, str], float] = dict(sent or {})
        self.valid: dict[tuple[int, str], float] = {}

    def restart(self, rows: Steps) -> dict[int, dict[str, float]]:
        """Forget all evaluations but these; return those that were not sent yet."""
        self.valid = {(step, name): value for step, metrics in rows for name, value in metrics.items()}
        return self.missing()

    def add(self, step: int, metrics: Mapping[str, float]) -> dict[int, dict[str, float]]:
        """Add an evaluation; return what of it was not sent yet."""
        self.valid |= {(step, name): value for name, value in metrics.items()}
        return self.missing()

    def missing(self) -> dict[int, dict[str, float]]:
        """Return what was not sent yet, by step."""
        found: dict[int, dict[str, float]] = {}
        for (step, name), value in self.valid.items():
            if (step, name) not in self.sent:
                found.setdefault(step, {})[name] = value
        return found

    @property
    def contradicted(self) -> bool:
        """Whether something else was sent for an evaluation than what it is now: it was repeated with another result."""
        return any(key in self.sent and self.sent[key] != value for key, value in self.valid.items())

    @property
    def outdated(self) -> bool:
        """Whether something was sent that is no evaluation of the run any more."""
        return bool(self.sent.keys() - self.valid.keys())
