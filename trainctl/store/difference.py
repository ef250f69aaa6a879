"""Compare a checkpoint with the run that resumes from it: settings, data, versions and hardware."""

import json
from typing import Any

import torch

from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError
from trainctl.fileformat import fingerprints
from trainctl.machine import device
from trainctl.run.run import Run
from trainctl.settings.code_digest import own_code
from trainctl.settings.config import Config, leaves
from trainctl.settings.existing import MAY_CHANGE, among
from trainctl.settings.renamed import with_new_names
from trainctl.store import rundir
from trainctl.store.manifest import Saved
from trainctl.wording import amount, listed

PARTS = "tree"  # how the parts of a batch are computed; checkpoints of earlier versions do not say


def check_origin(run: Run, saved: Saved) -> None:
    """Check that a checkpoint has the settings and the data of a run; some settings may differ.

    Raises:
        CheckpointError: If it does not; the message lists the differences.
    """
    if differing := settings_differ(run.config, saved):
        raise CheckpointError(f"{saved.path}: belongs to another run: {listed(differing, '; ')}")
    trained = Schema.from_json(saved.manifest.data, saved.path)
    if fingerprints.in_other_form(trained.fingerprint, run.data.schema.fingerprint):
        before, now = (
            ("on disk", "in memory")
            if trained.fingerprint.startswith(fingerprints.BLOCKS)
            else ("in memory", "on disk")
        )
        raise CheckpointError(
            f"{saved.path}: its rows were {before}, and are {now} here: they are visited in another order, and their fingerprints"
            f" cannot be compared; keep them {before} (dataset.keep, dataset.memory), or start a new run"
        )
    if trained.fingerprint != run.data.schema.fingerprint:
        raise CheckpointError(
            f"{saved.path}: was created from different data: {listed(data_differ(run, trained, saved), '; ')}"
        )


def settings_differ(config: Config, saved: Saved) -> list[str]:
    """Return the settings of a checkpoint that have another value in a run, or are missing from it.

    Settings that only the run has are ignored: a newer version may have added them.
    """
    before, now = map(leaves, (with_new_names(saved.manifest.settings), _as_json(config.tree)))
    fixed = [key for key in before if not among(key, MAY_CHANGE)]
    changed = [
        f"{key}={before[key]} in the checkpoint, {now[key]} in this run"
        for key in fixed
        if key in now and now[key] != before[key]
    ]
    return changed + [f"{key}={before[key]} only in the checkpoint" for key in fixed if key not in now]


def data_differ(run: Run, before: Schema, saved: Saved) -> list[str]:
    """Return the differences between a run's data and a checkpoint's, a line each; the last line shows both fingerprints.

    The line is "values differ" if names, shapes and numbers of rows are equal.
    """
    differing = run.data.schema.differences(before)
    rows = {name: len(part) for name, part in run.data.splits.items()}
    if (saved.manifest.rows or rows) != rows:
        counts = sum(saved.manifest.rows.values()), sum(rows.values())
        differing.append(f"{amount(counts[0], 'row')} in the checkpoint, {counts[1]:,} in this run")
    old, new = fingerprints.shown(before.fingerprint), fingerprints.shown(run.data.schema.fingerprint)
    return [*(differing or ["values differ"]), f"fingerprint {old} in the checkpoint, {new} in this run"]


def computed_otherwise(saved: Saved, config: Config) -> list[str]:
    """Return a line for each change since a checkpoint was written that can alter the last bits of results.

    Compared are torch, the processor, the number of threads and the user's own code.
    """
    before = saved.manifest.written_by | {"threads": saved.manifest.threads}
    now: dict[str, Any] = written_by(config) | {"threads": torch.get_num_threads()}
    return parts_otherwise(saved, config) + [
        f"{name.replace('own_code', 'the code of your components')} was {before[name]}, is now {now[name]}"
        for name in ("torch", "processor", "threads", "own_code")
        if before.get(name) not in (None, now[name])
    ]


def parts_otherwise(saved: Saved, config: Config) -> list[str]:
    """Return a line for each reason why batches that are computed in parts may have other last bits than before."""
    lines: list[str] = []
    parts = config.loop.micro_batches
    if parts > 1 and (saved.manifest.written_by or saved.manifest.step) and "parts" not in saved.manifest.written_by:
        lines.append(
            f"loop.micro_batches={parts}: the version that wrote the checkpoint added the parts of a batch in another order,"
            " and gave them other random numbers"
        )
    if parts > 1 and config.distributed.sum == "fast":
        lines.append("distributed.sum=fast: the last bits depend on the number of processes")
    return lines


def written_by(config: Config) -> dict[str, str]:
    """Return the versions of trainctl and torch, the processor, and the SHA-256 of the user's own code."""
    return {
        "trainctl": rundir.version(),
        "torch": torch.__version__,
        "processor": device.processor(),
        "own_code": own_code(tuple(config.components)),
        "parts": PARTS,
    }


def _as_json(content: Any) -> Any:
    """Return the content as it is after a round trip through JSON: tuples become lists, and keys become strings."""
    return json.loads(json.dumps(content))
