"""Write a run's records: metrics.jsonl, log.txt and loggers such as TensorBoard. No failure here ends a training run."""

import io
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from trainctl.components.logger.base import Logger, Session
from trainctl.errors import Advice
from trainctl.fileformat.boundary import reason
from trainctl.report.loggers import Loggers
from trainctl.report.plain import Plain
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.settings.config import leaves
from trainctl.store import files as storage
from trainctl.store import rundir
from trainctl.store.runpath import AnyPath


class Files(Reporter):
    """Writes each evaluation to a line of `metrics.jsonl`, and the output of a plain terminal to `log.txt`.

    A failure to write is reported once per file. Rows that could not be written to `metrics.jsonl` are saved in checkpoints,
    and are written as soon as writing works again.

    Args:
        directory: The run's directory.
        loggers: They receive each evaluation, too.
        names: Their names, for messages.
    """

    def __init__(self, directory: AnyPath, loggers: Sequence[Logger], names: Sequence[str] = ()) -> None:
        self.directory = directory
        self.loggers = Loggers(loggers, names, self._try)
        self.metrics, self.log = directory / "metrics.jsonl", Log(directory / "log.txt", self._try)
        self.rows: list[Row] = []
        self.unsynced: list[Row] = []  # the rows that a power failure could destroy
        self.intact = False  # whether the file contains exactly the rows, each of them complete
        self.reported: set[str] = set()  # what could not be written
        self.plain = Plain(cast("io.TextIOWrapper", self.log))

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Start the records; lines of `metrics.jsonl` that are not in the history are removed."""
        self.log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}\n")
        self._record(*history)
        self.loggers.start(Session(directory.name, leaves(run.config.tree)), self._logged_rows())
        self.plain.start(run, directory, history)

    def evaluation(self, row: Row) -> None:
        """Write the newest evaluation."""
        self._record(row)
        self.plain.evaluation(row)
        self.loggers.log(int(row["step"]), _logged(row))

    def engine(self, text: str) -> None:
        """Write how steps are computed."""
        self.plain.engine(text)

    def unsaved(self) -> list[Row]:
        """Sync the records to disk; return the evaluations for which that failed."""
        if self.unsynced:
            self.intact = self._try("metrics.jsonl", self._sync if self.intact else self._rewrite)
        return list(self.unsynced)

    def forget(self, step: int) -> None:
        """Remove the lines of evaluations after a step."""
        self.rows = [row for row in self.rows if row["step"] <= step]
        self.unsynced = [row for row in self.unsynced if row["step"] <= step]
        self.intact = self._try("metrics.jsonl", self._rewrite)
        self.loggers.restart(self._logged_rows())

    def note(self, text: str) -> None:
        """Write a line for the user."""
        self.plain.note(text)

    def detail(self, text: str) -> None:
        """Write a line that only the log shows."""
        self.plain.note(text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the end of the run; the test metrics become a separate line of ``metrics.jsonl``."""
        tested = {key: value for key, value in summary["metrics"].items() if key.startswith("test/")}
        if tested and summary["best"]:
            best = summary["best"]
            self._record({"step": best["step"], "epoch": best["epoch"]} | tested)
            self.loggers.log(best["step"], tested)
        self.loggers.finish(summary)
        self.plain.finish(summary)

    def close(self) -> None:
        """Write what could not be written before, and close the loggers, which receive the plots."""
        self.unsaved()
        self.loggers.close(self.directory / "plots")

    def _record(self, *rows: Row) -> None:
        self.rows += rows
        self.unsynced += rows
        lines = "".join(map(rundir.line, rows)).encode()
        append = (lambda: storage.append(self.metrics, lines, 0)) if self.intact else self._rewrite
        self.intact = self._try("metrics.jsonl", append)

    def _rewrite(self) -> None:
        storage.write_bytes(self.metrics, "".join(map(rundir.line, self.rows)).encode())
        self.unsynced.clear()

    def _sync(self) -> None:
        storage.sync(self.metrics)
        self.unsynced.clear()

    def _logged_rows(self) -> list[tuple[int, dict[str, float]]]:
        """Return what loggers are to hold: what metrics.jsonl holds."""
        return [(int(row["step"]), _logged(row)) for row in self.rows]

    def _try(self, name: str, write: Callable[[], None]) -> bool:
        """Write, and return whether that succeeded; warn the user when it fails for the first time."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 - no record is worth a training run
            if name not in self.reported:
                self.reported.add(name)
                warnings.warn(f"{name} is incomplete, training continues: {reason(error)}", Advice, stacklevel=2)
            return False
        return True


def _logged(row: Row) -> dict[str, float]:
    """Return what loggers receive of an evaluation: the metrics that are defined, and the learning rate."""
    logged = {key: value for key, value in row.items() if "/" in key or key == "lr"}
    return {key: value for key, value in logged.items() if math.isfinite(value)}


class Log(io.TextIOBase):
    """A text file that is opened anew for every line, so that logging continues after a failure.

    Args:
        path: The file's path.
        attempt: Calls a function that writes, and returns whether that succeeded.
    """

    def __init__(self, path: AnyPath, attempt: Callable[[str, Callable[[], None]], bool]) -> None:
        self.path, self.attempt = path, attempt

    def write(self, text: str) -> int:
        """Append text to the file."""
        self.attempt(self.path.name, lambda: storage.append(self.path, text.encode()))
        return len(text)
