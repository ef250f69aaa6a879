"""A run's own records: metrics.jsonl, log.txt and loggers such as TensorBoard. None of them ends a training."""

import io
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from trainctl.components.logger.base import Logger
from trainctl.errors import Advice, StorageError
from trainctl.report.plain import Plain
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.store import files as storage
from trainctl.store import rundir


class Files(Reporter):
    """Writes each evaluation as one line of `metrics.jsonl`, and everything that a plain terminal shows to `log.txt`.

    What cannot be written is told once for each file. Rows that `metrics.jsonl` lacks are written when that
    works again, and go into checkpoints until then.

    Args:
        directory: The run's.
        loggers: Told each evaluation too.
    """

    def __init__(self, directory: Path, loggers: Sequence[Logger]) -> None:
        self.directory, self.loggers = directory, loggers
        self.metrics, self.log = directory / "metrics.jsonl", Log(directory / "log.txt", self._tried)
        self.rows: list[Row] = []
        self.unsynced: list[Row] = []  # of those, what a power loss may take
        self.whole = False  # whether the file holds the rows and no more, none of them torn
        self.told: set[str] = set()
        self.plain = Plain(cast("io.TextIOWrapper", self.log))

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Begin; lines of `metrics.jsonl` that the run will come to again are dropped."""
        self.log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}\n")
        self._record(*history)
        self.plain.start(run, directory, history)

    def evaluation(self, row: Row) -> None:
        """Take the newest evaluation."""
        self._record(row)
        self.plain.evaluation(row)
        self._to_loggers(int(row["step"]), {key: value for key, value in row.items() if "/" in key or key == "lr"})

    def engine(self, text: str) -> None:
        """Take how steps are taken."""
        self.plain.engine(text)

    def unsaved(self) -> list[Row]:
        """Make the records so far last; return the evaluations for which that failed."""
        if self.unsynced:
            self.whole = self._tried("metrics.jsonl", self._sync if self.whole else self._rewrite)
        return list(self.unsynced)

    def forget(self, step: int) -> None:
        """Drop the lines of evaluations after a step."""
        self.rows = [row for row in self.rows if row["step"] <= step]
        self.unsynced = [row for row in self.unsynced if row["step"] <= step]
        self.whole = self._tried("metrics.jsonl", self._rewrite)

    def note(self, text: str) -> None:
        """Take a line for the user."""
        self.plain.note(text)

    def detail(self, text: str) -> None:
        """Take a line for the log."""
        self.plain.note(text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take what is in ``summary.json``; the test metrics become a line of their own."""
        tested = {key: value for key, value in summary["metrics"].items() if key.startswith("test/")}
        if tested and summary["best"]:
            best = summary["best"]
            self._record({"step": best["step"], "epoch": best["epoch"]} | tested)
            self._to_loggers(best["step"], tested)
        self.plain.finish(summary)

    def close(self) -> None:
        """Write what could not be written before, and close the loggers."""
        self.unsaved()
        for logger in self.loggers:
            self._tried("the logger", logger.close)

    def _record(self, *rows: Row) -> None:
        self.rows += rows
        self.unsynced += rows
        lines = "".join(map(rundir.line, rows)).encode()
        append = (lambda: storage.append(self.metrics, lines, 0)) if self.whole else self._rewrite
        self.whole = self._tried("metrics.jsonl", append)

    def _rewrite(self) -> None:
        storage.write_bytes(self.metrics, "".join(map(rundir.line, self.rows)).encode())
        self.unsynced.clear()

    def _sync(self) -> None:
        storage.sync(self.metrics)
        self.unsynced.clear()

    def _to_loggers(self, step: int, metrics: Mapping[str, float]) -> None:
        for logger in self.loggers:
            self._tried("the logger", lambda log=logger.log: log(step, metrics))  # type: ignore[misc]

    def _tried(self, what: str, write: Callable[[], None]) -> bool:
        """Write, and say whether that went well; tell the user the first time that it did not."""
        try:
            write()
        except (OSError, StorageError) as error:
            if what not in self.told:
                self.told.add(what)
                warnings.warn(f"{what} is incomplete, training goes on: {error}", Advice, stacklevel=2)
            return False
        return True


class Log(io.TextIOBase):
    """A file that each line is added to; it is opened for every line, so that it may come back.

    Args:
        path: Of the file.
        tried: Makes a write and says whether that went well.
    """

    def __init__(self, path: Path, tried: Callable[[str, Callable[[], None]], bool]) -> None:
        self.path, self.tried = path, tried

    def write(self, text: str) -> int:
        """Add text to the file."""
        self.tried(self.path.name, lambda: storage.append(self.path, text.encode()))
        return len(text)
