"""The run directories of trials: whether one can be continued, and taken from a process that no longer runs. No torch."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from trainctl.errors import StorageError
from trainctl.store import files, lock, rundir
from trainctl.sweep.ledger import Ledger


def is_free(directory: Path) -> bool:
    """Return whether no living process of this machine writes to a run directory."""
    return not lock.is_held_here(directory)


def prepare(directory: Path) -> bool:
    """Return whether a trial's run can be continued; what was begun without a checkpoint is removed."""
    if not directory.exists():
        return False
    if any((directory / "checkpoints").glob("step-*.json")):
        return True
    rundir.remove(directory)
    return False


def keep(which: str, ledger: Ledger, *, maximize: bool) -> None:
    """Remove the checkpoints of finished trials that are not to be kept.

    Args:
        which: ``all``, ``best`` (those of the best point) or ``none``.
        ledger: The sweep.
        maximize: Whether a larger value is better.
    """
    if which == "all":
        return
    done = [trial for trial in ledger.trials.values() if trial.status in ("finished", "pruned", "failed")]
    scored = [trial for trial in done if trial.value is not None and trial.status == "finished"]
    best = (max if maximize else min)(scored, key=lambda trial: trial.value or 0.0).point if scored else None
    for trial in done:
        if which == "none" or trial.point != best:
            with suppress(OSError):
                shutil.rmtree(trial.directory / "checkpoints")


def take_over(directory: Path, segment: int) -> None:
    """Give a trial's run a new directory, so that its former process, should it wake up, writes to the old one.

    Raises:
        StorageError: If that is not possible.
    """
    if not directory.exists():
        return
    lost = directory.parent / "lost"
    aside = lost / f"{directory.name}.{segment}"
    try:
        with suppress(FileExistsError):
            files.make_directory(lost)
        directory.rename(aside)
        shutil.copytree(aside, directory, copy_function=_link_or_copy, ignore=shutil.ignore_patterns("lock.json*"))
    except (OSError, shutil.Error) as error:
        raise StorageError(f"{directory}: cannot take over the run of a process that ended: {error}") from error


def _link_or_copy(source: str, target: str) -> None:
    """Link what is never changed, the tensors of checkpoints; copy the rest."""
    if source.endswith(".safetensors"):
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
