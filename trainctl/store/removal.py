"""Remove runs and sweeps that nobody uses. Imports no torch."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import CheckpointError, StorageError
from trainctl.fileformat.place import is_file
from trainctl.store import lock, records
from trainctl.store.finding import all_runs

LAST = (
    "config.yaml",
    "sweep.json",
    lock.NAME,
)  # by these a run or sweep is found, so an interrupted removal can be repeated


@dataclass(frozen=True)
class Candidate:
    """A run, or a sweep, that is to be removed.

    Args:
        path: Its directory.
        size: Of its files [bytes].
        trials: The directories of a sweep's trials; empty for a run.
    """

    path: Path
    size: int
    trials: tuple[Path, ...] = ()


def candidate(path: Path) -> Candidate:
    """Return what would be removed.

    Raises:
        CheckpointError: If it is a link, or a trial of a sweep.
    """
    if path.is_symlink():
        raise CheckpointError(
            f"{path}: is a link to {os.path.realpath(path)}; name that directory, or remove the link itself"
        )
    if is_file(path.parent / "sweep.json") and not is_file(path.parent / "config.yaml"):
        raise CheckpointError(f"{path}: is a trial of a sweep; remove the whole sweep: {path.parent}")
    is_sweep = is_file(path / "sweep.json")
    trials = [each for each in path.iterdir() if is_file(each / "config.yaml")] if is_sweep else []
    return Candidate(path, sum(_sizes(path)), tuple(sorted(trials)))


def _sizes(path: Path) -> Iterator[int]:
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                yield os.lstat(Path(folder, name)).st_size


def children(found: Iterable[Candidate], root: Path) -> dict[Path, list[str]]:
    """Return, for each directory, the names of the runs that were made from it and stay."""
    chosen = {os.path.realpath(path): each.path for each in found for path in (each.path, *each.trials)}
    made: dict[Path, list[str]] = {}
    for run in all_runs(root, []):
        if os.path.realpath(run) in chosen:
            continue
        with suppress(CheckpointError):
            for parent in records.read_facts(run).parents:
                if path := chosen.get(os.path.realpath(parent.path)):
                    made.setdefault(path, []).append(run.name)
    return made


def check_unused(found: Candidate) -> None:
    """Check that no process writes to a run, or to a trial of a sweep.

    Raises:
        StorageError: If one does, or may do so on another machine.
    """
    for path in (*found.trials, *(() if found.trials or is_file(found.path / "sweep.json") else (found.path,))):
        with lock.hold(path):
            pass


def remove(found: Candidate) -> None:
    """Remove a run or a sweep; what lies outside of it, behind a link, stays.

    Raises:
        StorageError: If a process writes to it, or a file cannot be removed.
    """
    try:
        for path in found.trials:
            with lock.hold(path):
                _empty(path)
            shutil.rmtree(path)
        if is_file(found.path / "sweep.json"):
            _empty(found.path)
        else:
            with lock.hold(found.path):
                _empty(found.path)
        shutil.rmtree(found.path)
    except OSError as error:
        raise StorageError(f"{found.path}: cannot be removed completely: {error.filename}: {error.strerror}") from error


def _empty(directory: Path) -> None:
    """Remove the content of a directory, except for the files by which it is found."""
    with os.scandir(directory) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name not in LAST:
                os.unlink(entry.path)  # noqa: PTH108 - of a link the link
