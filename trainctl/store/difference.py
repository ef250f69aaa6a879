"""What differs between a checkpoint and the run that is to continue from it: settings, data, and what it is computed with."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import torch

from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError
from trainctl.machine import device
from trainctl.run.run import Run
from trainctl.settings import component
from trainctl.settings.config import Config, leaves
from trainctl.settings.existing import MAY_CHANGE, among
from trainctl.settings.renamed import with_new_names
from trainctl.store import rundir
from trainctl.store.manifest import Saved

SHOWN = 5  # differences named in a message


def check_origin(run: Run, saved: Saved) -> None:
    """Check that a checkpoint belongs to a run: its settings, but for those that may change, and its data.

    Raises:
        CheckpointError: If it does not; the message names what differs.
    """
    if differing := settings_differ(run.config, saved):
        raise CheckpointError(f"{saved.path}: belongs to another run: {_some(differing)}")
    trained = Schema.from_json(saved.manifest.data, saved.path)
    if trained.fingerprint != run.data.schema.fingerprint:
        raise CheckpointError(f"{saved.path}: was made with other data: {_some(data_differ(run, trained, saved))}")


def settings_differ(config: Config, saved: Saved) -> list[str]:
    """Return the settings of a checkpoint that a run does not have, or has with other values; newer ones may be added."""
    before, now = map(leaves, (with_new_names(saved.manifest.settings), _as_json(config.tree)))
    fixed = [key for key in before if not among(key, MAY_CHANGE)]
    changed = [f"{key}={before[key]} there, {now[key]} here" for key in fixed if key in now and now[key] != before[key]]
    return changed + [f"{key}={before[key]} only there" for key in fixed if key not in now]


def data_differ(run: Run, before: Schema, saved: Saved) -> list[str]:
    """Return what differs in the data, the fingerprints last; "values differ" if it is nothing that has a name."""
    differing = run.data.schema.differences(before)
    rows = {name: len(part) for name, part in run.data.splits.items()}
    if (saved.manifest.rows or rows) != rows:
        differing.append(f"it had {sum(saved.manifest.rows.values()):,} rows, has {sum(rows.values()):,}")
    prints = f"(fingerprint {before.fingerprint[:12]} there, {run.data.schema.fingerprint[:12]} here)"
    return [*(differing or ["values differ"]), prints]


def computed_otherwise(saved: Saved, config: Config) -> list[str]:
    """Return what has changed since a checkpoint was written that may change the last bits of results."""
    before = saved.manifest.written_by | {"threads": saved.manifest.threads}
    now: dict[str, Any] = written_by(config) | {"threads": torch.get_num_threads()}
    return [
        f"{name.replace('own_code', 'the code of your components')} was {before[name]}, is {now[name]}"
        for name in ("torch", "processor", "threads", "own_code")
        if before.get(name) not in (None, now[name])
    ]


def written_by(config: Config) -> dict[str, str]:
    """Return what computes a run's results, down to their last bits: the versions, the processor, the user's own code."""
    return {
        "trainctl": rundir.version(),
        "torch": torch.__version__,
        "processor": device.processor(),
        "own_code": own_code(tuple(config.components)),
    }


@cache  # the code that this process has imported, whatever is edited in the meantime
def own_code(packages: tuple[str, ...]) -> str:
    """Return the SHA-256 of all modules of the user's packages [12 hex digits]; "" if there are none."""
    modules = [path for package in packages for folder in component.folders(package) for path in folder.rglob("*.py")]
    digest = hashlib.sha256()
    for path in sorted(modules):
        with suppress(OSError):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12] if modules else ""


def _as_json(content: Any) -> Any:
    """Return what a JSON file would give back: lists for tuples, strings for keys."""
    return json.loads(json.dumps(content))


def _some(differing: Sequence[str]) -> str:
    more = f"; and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return "; ".join(differing[:SHOWN]) + more
