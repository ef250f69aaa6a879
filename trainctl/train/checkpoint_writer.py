"""Checkpoints on a disk that may fail: a rehearsal before the first step, retries, and a warning when room gets short."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, StorageError
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.store import checkpoint, files, lock, restore, rundir

PAUSES = (0.1, 1.0, 4.0)  # seconds before a write is tried again
SPARE = 3  # checkpoints for which there should be room


def rehearse(run: Run, directory: Path) -> None:
    """Write a dummy as large as a checkpoint is going to be, and remove it.

    Raises:
        StorageError: If the place cannot hold one.
    """
    files.rehearse(directory / "rehearsal.trainctl", checkpoint.size(run))


class CheckpointWriter:
    """Writes a run's checkpoints and tells the reporter what hinders it.

    Args:
        run: Whose.
        directory: The run's.
        reporter: Is told, and knows the rows that `metrics.jsonl` does not hold.
    """

    def __init__(self, run: Run, directory: Path, reporter: Reporter) -> None:
        self.run, self.directory, self.reporter = run, directory, reporter
        self.short = False
        self._measure_room()

    def save(self) -> None:
        """Write a checkpoint; where that fails make room and try again.

        Raises:
            StorageError: If it cannot be written, and says what is kept; or if another process writes there now.
        """
        lock.check(self.directory)
        rows = self.reporter.unsaved()
        try:
            retried(lambda: checkpoint.save(self.run, self.directory, rows), self._make_room)
        except StorageError as error:
            raise StorageError(f"no checkpoint at step {self.run.state.step}: {error}; {self._kept()}") from error
        self._measure_room()

    def write(self, name: str, found: Mapping[str, Any]) -> None:
        """Write what was found out about the run to a file of its own.

        Raises:
            StorageError: If it cannot be written.
        """
        rundir.write_json(self.directory / name, found)

    def _make_room(self, error: StorageError) -> None:
        self.reporter.note(f"{error}; trying again")
        checkpoint.prune(self.directory, self.run.state.step, keep=2)

    def _measure_room(self) -> None:
        available, needed = files.free(self.directory), checkpoint.size(self.run)
        short = available is not None and available < SPARE * needed
        if short and not self.short:
            room = f"{files.megabytes(available or 0)} free for checkpoints of {files.megabytes(needed)}"
            self.reporter.note(f"little room in {self.directory}: {room}")
        self.short = short

    def _kept(self) -> str:
        try:
            return f"the checkpoint of step {restore.newest(self.directory).manifest.step} is kept"
        except (CheckpointError, OSError):
            return "no earlier checkpoint is left"


class NullWriter(CheckpointWriter):
    """Keeps nothing: for a replay of a run that stays as it is."""

    def save(self) -> None:
        """Leave everything as it is."""

    def write(self, name: str, found: Mapping[str, Any]) -> None:
        """Leave everything as it is."""

    def _measure_room(self) -> None:
        pass


def retried(write: Callable[[], None], prepare: Callable[[StorageError], None]) -> None:
    """Write; where that fails prepare, wait and try again, a few times.

    Raises:
        StorageError: If every try fails.
    """
    for pause in PAUSES:
        try:
            return write()
        except StorageError as error:
            prepare(error)
            time.sleep(pause)
    return write()
