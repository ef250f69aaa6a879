"""Checkpoints on an unreliable disk: a test write before the first step, retries, and a warning if space becomes scarce."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from trainctl.errors import CheckpointError, StorageError, format_bytes
from trainctl.machine import launch
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.step import sharded, split_state
from trainctl.store import checkpoint, disk, files, lock, restore, rundir, runpath
from trainctl.store.checkpoint import WholeState
from trainctl.store.lock import LostLockError
from trainctl.store.runpath import AnyPath

PAUSES = (0.1, 1.0, 4.0)  # between attempts to write [s]
SPARE = 3  # the number of checkpoints for which there should be space


def whole_state(run: Run) -> WholeState | None:
    """Return what the processes of a run divide, in the first one; None if they divide nothing. All must call it."""
    return sharded.whole(run) or split_state.whole(run)


class Writer(ABC):
    """Writes a run's checkpoints and other files.

    Args:
        run: The run to save.
        directory: Run directory.
        reporter: Receives messages about problems; also has the rows that are not in `metrics.jsonl` yet.
    """

    def __init__(self, run: Run, directory: AnyPath, reporter: Reporter) -> None:
        self.run, self.directory, self.reporter = run, runpath.hold(directory), reporter

    @abstractmethod
    def save(self, whole: WholeState | None = None) -> None:
        """Write a checkpoint of the run, which must be between two steps.

        Args:
            whole: What the processes divide, if they have given it already.

        Raises:
            StorageError: If it cannot be written; the message names the newest checkpoint on disk.
        """

    @abstractmethod
    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file into the run directory.

        Raises:
            StorageError: If it cannot be written.
        """


class NullWriter(Writer):
    """Writes nothing: for steps repeated in memory, and for all processes of a run except the first.

    Attributes:
        whole: What the processes divided when the run was saved last, in the first one.
    """

    whole: WholeState | None = None

    def save(self, whole: WholeState | None = None) -> None:
        """Write nothing; if the processes divide weights or the optimizer's state, send this one's share."""
        self.whole = whole_state(self.run) if whole is None else whole

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write nothing."""


class Follower(NullWriter):
    """Writes nothing, and knows no directory: of a process that is not the first one, perhaps on another machine."""

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.run, self.reporter = run, reporter


class CheckpointWriter(Writer):
    """Writes into the run directory, retries if that fails, and warns if space is scarce."""

    def __init__(self, run: Run, directory: AnyPath, reporter: Reporter) -> None:
        super().__init__(run, directory, reporter)
        self.scarce = False
        self._measure_space()

    def save(self, whole: WholeState | None = None) -> None:
        """Write a checkpoint; if that fails, delete old ones and retry.

        Raises:
            StorageError: If it cannot be written, or if another process is writing to the run.
        """
        lock.check(self.directory)
        rows, whole = self.reporter.unsaved(), whole_state(self.run) if whole is None else whole
        try:
            retried(lambda: checkpoint.save(self.run, self.directory, rows, whole), self._make_space)
        except LostLockError:
            raise
        except StorageError as error:
            raise StorageError(
                f"no checkpoint was written at step {self.run.state.step}: {error}; {self._newest()}"
            ) from error
        launch.tell({"saved": self.run.state.step})
        self._measure_space()

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file into the run directory.

        Raises:
            StorageError: If it cannot be written.
        """
        rundir.write_json(self.directory / name, content)

    def _make_space(self, error: StorageError) -> None:
        self.reporter.note(f"{error}; retrying")
        checkpoint.remove_old(self.directory, self.run.state.step, keep=2)

    def _measure_space(self) -> None:
        available, needed = disk.free(self.directory), checkpoint.size(self.run)
        scarce = available is not None and available < SPARE * needed
        if scarce and not self.scarce:
            space = f"{format_bytes(available or 0)} free, and a checkpoint needs {format_bytes(needed)}"
            self.reporter.note(f"{self.directory}: disk space is low: {space}")
        self.scarce = scarce

    def _newest(self) -> str:
        try:
            return f"the newest checkpoint is that of step {restore.newest(self.directory).manifest.step}"
        except (CheckpointError, OSError):
            return "there is no earlier checkpoint"


def writer_for(run: Run, directory: AnyPath, reporter: Reporter) -> Writer:
    """Return the writer of a run's checkpoints; if there are several processes, only the first one writes."""
    return (CheckpointWriter if run.world.first else NullWriter)(run, directory, reporter)


def rehearse(run: Run, directory: AnyPath) -> None:
    """Write a file of a checkpoint's size, and remove it.

    Raises:
        StorageError: If there is no space for it, or it cannot be written.
    """
    files.rehearse(directory / "rehearsal.trainctl", checkpoint.size(run))


def retried(write: Callable[[], None], prepare: Callable[[StorageError], None]) -> None:
    """Call ``write``; if it fails, call ``prepare``, wait and retry, a few times.

    Raises:
        StorageError: If every attempt fails.
    """
    for pause in PAUSES:
        try:
            return write()
        except LostLockError:
            raise
        except StorageError as error:
            prepare(error)
            time.sleep(pause)
    return write()
