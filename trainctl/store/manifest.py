"""The JSON file of a checkpoint, typed: what it says, its checksum, and what files of earlier versions lack.

It is written last and is the commit: a checkpoint exists when its manifest does.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from trainctl.errors import CheckpointError
from trainctl.store import rundir, tensors
from trainctl.store.tensors import Payload

# 1: the first. What was added since is optional: a manifest without it gets the default that Manifest has, and its state
# the defaults of TrainState. A change that an older version would misread needs a new number.
FORMAT = 1
NAME = re.compile(r"step-(\d{8,})\.json")
# What every manifest has, and of which type; then what was added since.
REQUIRED = {"step": int, "state": dict, "data": dict, "optimizer": dict, "scaler": dict, "last": dict}
ADDED = {"groups": list, "rows": dict, "evaluations": list, "settings": dict, "written_by": dict}


class NewerFormatError(CheckpointError):
    """A checkpoint was written by a newer version: skipping it would discard what that version computed."""


@dataclass(frozen=True)
class Manifest:
    """What the JSON file of a checkpoint says.

    Args:
        step: Optimizer steps done.
        state: The numbers of the :class:`~trainctl.run.state.TrainState`, all but the best weights.
        data: What the run's data looked like.
        optimizer: Plain numbers that the optimizer keeps for a tensor, by the tensor's position.
        scaler: The state of the scaler of fp16's losses; empty for other precisions.
        last: Model, averaged model, optimizer, running sums, random states, scalings and cleaning.
        best: The best weights so far, with scalings and cleaning; None before there are any.
        format: See :data:`FORMAT`.
        groups: Numbers that the optimizer keeps for each group of weights.
        threads: How many computed; None if unknown.
        rows: How many each split has; empty if unknown.
        evaluations: Lines that `metrics.jsonl` lacks, because it could not be written.
        settings: The configuration; empty if unknown.
        written_by: Versions of trainctl and torch, the processor and the user's own code.
    """

    step: int
    state: dict[str, Any]
    data: dict[str, Any]
    optimizer: dict[str, dict[str, Any]]
    scaler: dict[str, Any]
    last: Payload
    best: Payload | None = None
    format: int = FORMAT
    groups: list[dict[str, float]] = field(default_factory=list)
    threads: int | None = None
    rows: dict[str, int] = field(default_factory=dict)
    evaluations: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    written_by: dict[str, str] = field(default_factory=dict)

    @property
    def evaluated(self) -> int:
        """The step of the newest evaluation; earlier versions saved whether the evaluation at the step was pending."""
        return int(self.state["evaluated"] if "evaluated" in self.state else self.step - self.state.get("pending", 0))

    def payloads(self) -> list[Payload]:
        """Return the files that the checkpoint consists of, besides the manifest itself."""
        return [self.last, self.best] if self.best else [self.last]


@dataclass(frozen=True)
class Saved:
    """A checkpoint whose files exist and are undamaged.

    Args:
        manifest: What its JSON file says.
        path: Of that file.
        skipped: What is wrong with newer checkpoints that were skipped.
    """

    manifest: Manifest
    path: Path
    skipped: tuple[str, ...] = ()

    def tensors(self, which: str) -> dict[str, Tensor]:
        """Read the ``last`` or the ``best`` payload, its SHA-256 checked.

        Raises:
            CheckpointError: If there is none, or it is damaged.
        """
        payload: Payload | None = getattr(self.manifest, which)
        if payload is None:
            raise CheckpointError(f"{self.path}: has no {which} weights")
        return tensors.read(self.path.parent / payload.file, payload.sha256)


def path_of(directory: Path, step: int) -> Path:
    """Return where the manifest of a step lies."""
    return directory / "checkpoints" / f"step-{step:08d}.json"


def step_of(path: Path) -> int:
    """Return the step that a manifest's name says; -1 if it is none."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def all_paths(directory: Path) -> list[Path]:
    """Return the paths of a run's manifests, the oldest first, whole or not."""
    return sorted((directory / "checkpoints").glob("step-*.json"), key=step_of)


def write(directory: Path, manifest: Manifest) -> None:
    """Write a manifest with its checksum, after its payloads: from then on the checkpoint exists.

    Raises:
        StorageError: If it cannot be written.
    """
    content = asdict(manifest)
    rundir.write_json(path_of(directory, manifest.step), content | {"sha256": checksum(content)})


def read(path: Path, payloads: Iterable[str] = ("last", "best")) -> Manifest:
    """Read a manifest, and check those of its payloads that are of interest.

    Args:
        path: Of the manifest.
        payloads: ``last``, ``best``, both, or none.

    Raises:
        NewerFormatError: If a newer version wrote it in a format that this one does not know.
        CheckpointError: If it is damaged, or one of the payloads is.
    """
    content = rundir.read_json(path)
    if not content:
        raise CheckpointError(f"{path}: damaged ({_appearance(path)})")
    if content.get("sha256") != checksum(content):
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match)")
    version = content.get("format")
    if not isinstance(version, int) or version > FORMAT:
        by = content.get("written_by", {}).get("trainctl", "a newer version")
        raise NewerFormatError(
            f"{path}: has format {version}, written by trainctl {by}; this is trainctl {rundir.version()}, which reads"
            f" formats up to {FORMAT}: use that version or a newer one"
        )
    manifest = _typed(path, content)
    for name in payloads:
        if payload := getattr(manifest, name):
            tensors.check(path.parent / payload.file, payload.sha256)
    return manifest


def complete(path: Path) -> Manifest | None:
    """Return an undamaged manifest whose payloads exist; reading those for their SHA-256 would take long.

    Raises:
        NewerFormatError: If a newer version wrote it.
    """
    try:
        manifest = read(path, ())
    except NewerFormatError:
        raise
    except CheckpointError:
        return None
    return manifest if all((path.parent / payload.file).exists() for payload in manifest.payloads()) else None


def checksum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's content without its own entry for it [hex]."""
    plain = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _typed(path: Path, content: dict[str, Any]) -> Manifest:
    if missing := [key for key, kind in REQUIRED.items() if not isinstance(content.get(key), kind)]:
        raise CheckpointError(f"{path}: damaged (it has no {', '.join(missing)})")
    if wrong := [key for key, kind in ADDED.items() if not isinstance(content.get(key, kind()), kind)]:
        raise CheckpointError(f"{path}: damaged ({wrong[0]} is not of the right type)")
    known = {key: value for key, value in content.items() if key in Manifest.__dataclass_fields__}
    return Manifest(**known | {name: _payload(path, content.get(name)) for name in ("last", "best")})


def _payload(path: Path, entry: Any) -> Payload | None:
    if not entry:
        return None
    try:
        return Payload(Path(entry["file"]).name, str(entry["sha256"]))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged (a file is not named)") from error


def _appearance(path: Path) -> str:
    """Return what a file looks like that is no manifest."""
    if path.exists() and not path.is_file():
        return "not a regular file"
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if (kind := rundir.looks_like(content[:512])) in ("something else", "a JSON file"):
        return f"incomplete, {len(content):,} bytes"
    return kind
