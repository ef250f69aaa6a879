"""Call the loggers of a run. No failure of theirs ends a training run, or delays it again and again."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from trainctl.components.logger.base import Logger, Session, Steps
from trainctl.errors import Advice, CheckpointError
from trainctl.fileformat.waiting import waiting
from trainctl.store import runfile
from trainctl.store.runpath import AnyPath

MOST_FAILURES = 3  # in a row, after which a logger is not called again
LARGEST_PICTURE = 2**26  # bytes


class Loggers:
    """The loggers of a run.

    Args:
        loggers: The loggers.
        names: Their names; empty for loggers without.
        attempt: Calls a function with a label for messages, and returns whether that succeeded.
    """

    def __init__(
        self, loggers: Sequence[Logger], names: Sequence[str], attempt: Callable[[str, Callable[[], None]], bool]
    ) -> None:
        labels = [f"logger={name}" for name in names] or ["the logger"] * len(loggers)
        self.loggers, self.attempt = list(zip(labels, loggers, strict=True)), attempt
        self.failures = dict.fromkeys(labels, 0)

    def start(self, session: Session, rows: Steps) -> None:
        """Start a session with the evaluations of earlier ones."""
        for label, logger in self.loggers:
            if start := logger.start:
                with waiting(f"starting {label}"):
                    self._call(label, lambda start=start: start(session))  # type: ignore[misc]
        self.restart(rows)

    def restart(self, rows: Steps) -> None:
        """Let loggers hold these evaluations and no others, which will be repeated."""
        for label, logger in self.loggers:
            if restart := logger.restart:
                self._call(label, lambda restart=restart: restart(rows))  # type: ignore[misc]

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log an evaluation."""
        for label, logger in self.loggers:
            self._call(label, lambda log=logger.log: log(step, metrics))  # type: ignore[misc]

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Log how the run ended."""
        for label, logger in self.loggers:
            if finish := logger.finish:
                self._call(label, lambda finish=finish: finish(summary))  # type: ignore[misc]

    def close(self, plots: AnyPath) -> None:
        """Log the plots, and close all loggers."""
        takers = [(label, logger.picture) for label, logger in self.loggers if logger.picture]
        for name, content in pictures(plots) if takers else ():
            for label, picture in takers:
                self._call(label, lambda picture=picture: picture(name, content))  # type: ignore[misc]  # noqa: B023
        for label, logger in self.loggers:
            self.attempt(label, logger.close)

    def _call(self, label: str, call: Callable[[], None]) -> None:
        """Call a logger, unless it has failed too often."""
        if self.failures[label] >= MOST_FAILURES:
            return
        self.failures[label] = 0 if self.attempt(label, call) else self.failures[label] + 1
        if self.failures[label] == MOST_FAILURES:
            warnings.warn(
                f"{label} failed {MOST_FAILURES} times in a row, and is not called again", Advice, stacklevel=2
            )


def pictures(folder: AnyPath) -> Iterable[tuple[str, bytes]]:
    """Yield name and content of each PNG in a folder of the run; those that cannot be read are left out."""
    with suppress(CheckpointError):
        for name in sorted(runfile.names(folder)):
            if name.endswith(".png"):
                with suppress(CheckpointError):
                    yield name, runfile.read_bytes(folder / name, LARGEST_PICTURE)
