"""What is written down of a sweep when it begins, `sweep.json`, and the checks when it is read again. No torch."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from trainctl.errors import CheckpointError
from trainctl.machine import threads
from trainctl.run.metric_names import own_maximized
from trainctl.settings import schema
from trainctl.settings.code_digest import own_code
from trainctl.settings.config import Config
from trainctl.settings.points import Composer, Point
from trainctl.settings.storage import harmless
from trainctl.settings.sweep import Sweep
from trainctl.store import rundir
from trainctl.store.runpath import RunPath
from trainctl.sweep import slurm_options

FORMAT = 1
# The fields of `sweep.json` that are read again.
FIELDS: dict[str, Any] = {
    "format": int, "words": list[str], "directory": str, "config_dir": list[str], "threads": Annotated[int, "[1, 1024]"],
    "digits": Annotated[int, "[1, 9]"], "trainctl": str, "own_code": str,
}  # fmt: skip


def new_record(settings: Sweep, composer: Composer, words: Sequence[str], points: Sequence[Point]) -> dict[str, Any]:
    """Return what is written down of a sweep that begins; no password is in it."""
    base, words = points[0].config, harmless(words)
    count = max(len(points), settings.trials or 1)
    return {
        "format": FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["trainctl", "-m", *words]),
        "words": words,
        "directory": str(Path.cwd()),
        "config_dir": [str(path) for path in composer.directories],
        "settings": settings.tree,
        "threads": fixed_threads(settings, base),
        "digits": len(str(count - 1)),
        "monitor": base.monitor,
        "maximize": sorted(own_maximized(base.parts["metric"])),
        "trainctl": rundir.version(),
        "own_code": own_code(tuple(base.components)),
    }


def fixed_threads(settings: Sweep, base: Config) -> int:
    """Return the threads of every trial: they decide the last bits, so they are the same for all, on any machine."""
    if settings.threads is not None:
        return settings.threads
    if isinstance(base.threads, int):
        return base.threads
    cores = len(threads.allowed()) if settings.slurm is None else slurm_options.cores(settings.slurm_options)
    share = max(1, cores // (cores if settings.workers == "auto" else settings.workers))
    typed = threads.from_environment() if settings.slurm is None else None  # what a login node sets is not for its jobs
    return share if typed is None else min(share, typed.threads)


def require(held: RunPath) -> dict[str, Any]:
    """Return the content of a sweep's `sweep.json`, each field that is read checked.

    Raises:
        CheckpointError: If it is missing, damaged, or of another version.
    """
    record = rundir.read_json(held / "sweep.json")
    if record.get("format") is None:
        raise CheckpointError(
            f"{held}: is not a sweep that can be continued (sweep.json is missing, damaged, or of an earlier version)"
        )
    return check_record(record, str(held / "sweep.json"))


def check_record(record: Any, where: str) -> dict[str, Any]:
    """Check each field of a sweep's record that is read, and return the record.

    Raises:
        CheckpointError: If it is damaged, or of another version.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        form = record.get("format") if isinstance(record, dict) else None
        raise CheckpointError(f"{where}: has format {form}, this trainctl reads {FORMAT}")
    if wrong := [name for name, kind in FIELDS.items() if not schema.fits(record.get(name), kind)]:
        raise CheckpointError(f"{where}: damaged: {wrong[0]} is not {schema.phrase(FIELDS[wrong[0]])}")
    return record
