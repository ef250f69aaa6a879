"""The run directories of trials: whether one can be continued, and taken from a process that no longer runs. No torch."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress

from trainctl.errors import CheckpointError, StorageError
from trainctl.store import directories, lock, runfile, runpath
from trainctl.store.runpath import RunPath
from trainctl.sweep.ledger import Ledger
from trainctl.sweep.trial import Trial


def check(directory: RunPath) -> None:
    """Check that a trial's directory is one, if it exists: a link would lead to another run.

    Raises:
        CheckpointError: If it is a link or a file.
    """
    if (kind := runpath.kind(directory)) not in ("", "a directory"):
        raise CheckpointError(f"{directory}: is {kind}, not a directory")


def is_free(directory: RunPath) -> bool:
    """Return whether no living process of this machine writes to a trial's directory."""
    return not runpath.kind(directory) or not lock.is_held_here(runpath.enter(directory))


def prepare(directory: RunPath) -> bool:
    """Return whether a trial's run can be continued; what was begun without a checkpoint is removed."""
    if not runpath.kind(directory):
        return False
    if _steps(directory):
        return True
    directories.remove_tree(directory)
    return False


def newest_step(directory: RunPath) -> int:
    """Return the step of a run's newest checkpoint, by its name; 0 without one."""
    return max((int(text) for text in _steps(directory) if text.isdecimal()), default=0)


def _steps(directory: RunPath) -> list[str]:
    """Return what the names of a run's checkpoints say of their steps."""
    names = runfile.names(directory / "checkpoints")
    return [name[5:-5] for name in names if name.startswith("step-") and name.endswith(".json")]


def drop_checkpoints(home: RunPath, trials: Iterable[Trial]) -> None:
    """Remove the checkpoints of trials that are not to be kept; no link in the sweep's directory is followed."""
    for trial in trials:
        directories.remove_tree(home / trial.directory.name / "checkpoints")


def not_kept(which: str, ended: Trial, ledger: Ledger, *, maximize: bool) -> list[Trial]:
    """Return the trials whose checkpoints are not needed any more, now that a trial has ended; failed ones may continue.

    Args:
        which: Whose are kept: ``all``, ``best`` (those of the best point) or ``none``.
        ended: The trial.
        ledger: The sweep.
        maximize: Whether a larger value is better.
    """
    if which == "all" or ended.status not in ("finished", "pruned"):
        return []
    if which == "none":
        return [ended]
    finished = [trial for trial in ledger.trials.values() if trial.status == "finished" and trial.value is not None]
    best = (max if maximize else min)(finished, key=lambda trial: trial.value or 0.0).point if finished else None
    return [ended] if ended.point != best else [trial for trial in finished if trial.point != best]


def take_over(directory: RunPath, segment: int) -> None:
    """Give a trial's run a new directory, so that its former process, should it wake up, writes to the old one.

    Raises:
        StorageError: If that is not possible.
    """
    if not runpath.kind(directory):
        return
    lost = directory.parent / "lost"
    aside = lost / f"{directory.name}.{segment}"
    ignored = shutil.ignore_patterns("lock.json*")
    try:
        directories.ensure_directory(lost)
        directory.path.rename(aside.path)
        check(aside)  # a link that took its place by now
        shutil.copytree(aside.path, directory.path, symlinks=True, copy_function=_link_or_copy, ignore=ignored)
    except (OSError, shutil.Error) as error:
        raise StorageError(f"{directory}: cannot take over the run of a process that ended: {error}") from error


def _link_or_copy(source: str, target: str) -> None:
    """Link what is never changed, the tensors of checkpoints; copy the rest. Symbolic links stay links, which are refused."""
    if source.endswith(".safetensors"):
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
