"""Checkpoints on a disk that may fail: a rehearsal before the first step, retries, and a warning when space becomes scarce."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, StorageError, format_bytes
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.store import checkpoint, files, lock, restore, rundir

PAUSES = (0.1, 1.0, 4.0)  # seconds before a write is tried again
SPARE = 3  # checkpoints for which there should be space


class Writer(ABC):
    """Writes what has to outlive the process.

    Args:
        run: To be saved.
        directory: The run's.
        reporter: Is told about problems, and knows the rows that `metrics.jsonl` lacks.
    """

    def __init__(self, run: Run, directory: Path, reporter: Reporter) -> None:
        self.run, self.directory, self.reporter = run, directory, reporter

    @abstractmethod
    def save(self) -> None:
        """Write a checkpoint of the run as it is between two steps.

        Raises:
            StorageError: If it cannot be written; the message says what is kept.
        """

    @abstractmethod
    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file into the run directory.

        Raises:
            StorageError: If it cannot be written.
        """


class NullWriter(Writer):
    """Writes nothing: for steps that are repeated in memory, and for all processes of a run but the first."""

    def save(self) -> None:
        """Write nothing."""

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write nothing."""


class CheckpointWriter(Writer):
    """Writes into the run directory, tries again when that fails, and warns when there is little space left."""

    def __init__(self, run: Run, directory: Path, reporter: Reporter) -> None:
        super().__init__(run, directory, reporter)
        self.scarce = False
        self._measure_space()

    def save(self) -> None:
        """Write a checkpoint; if that fails, make space and try again.

        Raises:
            StorageError: If it cannot be written, with what is kept; or if another process writes to the run now.
        """
        lock.check(self.directory)
        rows = self.reporter.unsaved()
        try:
            retried(lambda: checkpoint.save(self.run, self.directory, rows), self._make_space)
        except StorageError as error:
            raise StorageError(f"no checkpoint at step {self.run.state.step}: {error}; {self._kept()}") from error
        self._measure_space()

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file into the run directory.

        Raises:
            StorageError: If it cannot be written.
        """
        rundir.write_json(self.directory / name, content)

    def _make_space(self, error: StorageError) -> None:
        self.reporter.note(f"{error}; trying again")
        checkpoint.prune(self.directory, self.run.state.step, keep=2)

    def _measure_space(self) -> None:
        available, needed = files.free(self.directory), checkpoint.size(self.run)
        scarce = available is not None and available < SPARE * needed
        if scarce and not self.scarce:
            space = f"{format_bytes(available or 0)} free for checkpoints of {format_bytes(needed)}"
            self.reporter.note(f"little space in {self.directory}: {space}")
        self.scarce = scarce

    def _kept(self) -> str:
        try:
            return f"the checkpoint of step {restore.newest(self.directory).manifest.step} is kept"
        except (CheckpointError, OSError):
            return "no earlier checkpoint is left"


def writer_for(run: Run, directory: Path, reporter: Reporter) -> Writer:
    """Return the writer of a run's checkpoints: of several processes, only the first one writes."""
    return (CheckpointWriter if run.world.first else NullWriter)(run, directory, reporter)


def rehearse(run: Run, directory: Path) -> None:
    """Write a dummy of a checkpoint's size, and remove it.

    Raises:
        StorageError: If the directory cannot hold one.
    """
    files.rehearse(directory / "rehearsal.trainctl", checkpoint.size(run))


def retried(write: Callable[[], None], prepare: Callable[[StorageError], None]) -> None:
    """Write; if that fails prepare, wait and try again, a few times.

    Raises:
        StorageError: If every attempt fails.
    """
    for pause in PAUSES:
        try:
            return write()
        except StorageError as error:
            prepare(error)
            time.sleep(pause)
    return write()
