"""Read and write a checkpoint's manifest: a JSON file with a checksum, also as earlier versions of trainctl wrote it.

It is written last: a checkpoint exists once its manifest does.
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

# Fields added to format 1 since its first version are optional: where they are missing, the defaults of Manifest and
# TrainState are used. A change that an older version would misread needs a new number.
FORMAT = 1
NAME = re.compile(r"step-(\d{8,})\.json")
# Types of the fields that every manifest has, and of those that were added later.
REQUIRED = {"step": int, "state": dict, "data": dict, "optimizer": dict, "scaler": dict, "last": dict}
ADDED = {"groups": list, "rows": dict, "evaluations": list, "settings": dict, "written_by": dict}


class NewerFormatError(CheckpointError):
    """Raised for a checkpoint that a newer version wrote: skipping it would discard that version's work."""


@dataclass(frozen=True)
class Manifest:
    """The content of a checkpoint's JSON file.

    Args:
        step: Optimizer steps done.
        state: The fields of :class:`~trainctl.run.state.TrainState`, except the best weights.
        data: The schema of the run's data.
        optimizer: Plain numbers in the optimizer's state, by the index of their parameter.
        scaler: State of the gradient scaler for fp16; empty for other precisions.
        last: File of the model, averaged model, optimizer, running sums, random states, scalings and cleaning.
        best: File of the best weights so far, with scalings and cleaning; None before the first evaluation.
        format: See :data:`FORMAT`.
        groups: Numbers in each of the optimizer's parameter groups.
        threads: Number of CPU threads; None if unknown.
        rows: Number of rows of each split; empty if unknown.
        evaluations: Lines that are missing from `metrics.jsonl` because it could not be written.
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
        """The step of the newest evaluation; earlier versions saved ``pending`` instead, 1 if the evaluation was still due."""
        return int(self.state["evaluated"] if "evaluated" in self.state else self.step - self.state.get("pending", 0))

    def payloads(self) -> list[Payload]:
        """Return the tensor files of the checkpoint."""
        return [self.last, self.best] if self.best else [self.last]


@dataclass(frozen=True)
class Saved:
    """A checkpoint whose files exist and are intact.

    Args:
        manifest: The content of its JSON file.
        path: The path of its JSON file.
        skipped: Why newer checkpoints were skipped, a line each.
    """

    manifest: Manifest
    path: Path
    skipped: tuple[str, ...] = ()

    def tensors(self, which: str) -> dict[str, Tensor]:
        """Read the ``last`` or the ``best`` file, and check its SHA-256.

        Raises:
            CheckpointError: If the checkpoint has no such file, or the file is damaged.
        """
        payload: Payload | None = getattr(self.manifest, which)
        if payload is None:
            raise CheckpointError(f"{self.path}: has no {which} weights")
        return tensors.read(self.path.parent / payload.file, payload.sha256)


def path_of(directory: Path, step: int) -> Path:
    """Return the path of a step's manifest."""
    return directory / "checkpoints" / f"step-{step:08d}.json"


def step_of(path: Path) -> int:
    """Return the step in a manifest's name; -1 if the name is not a manifest's."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def all_paths(directory: Path) -> list[Path]:
    """Return the paths of a run's manifests, including damaged ones, the oldest first."""
    return sorted((directory / "checkpoints").glob("step-*.json"), key=step_of)


def write(directory: Path, manifest: Manifest) -> None:
    """Write a manifest with its checksum, after the tensor files: this completes the checkpoint.

    Raises:
        StorageError: If it cannot be written.
    """
    content = asdict(manifest)
    rundir.write_json(path_of(directory, manifest.step), content | {"sha256": checksum(content)})


def read(path: Path, payloads: Iterable[str] = ("last", "best")) -> Manifest:
    """Read a manifest, and check the tensor files that are needed.

    Args:
        path: The manifest's path.
        payloads: The files to check: ``last``, ``best``, both, or none.

    Raises:
        NewerFormatError: If a newer version wrote it in a format that this version cannot read.
        CheckpointError: If the manifest or one of the files is damaged.
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
    """Return a manifest; None if it is damaged or one of its files is missing. The files' SHA-256 are not checked, to save time.

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
    """Return the SHA-256 of a manifest's content without its ``sha256`` entry [hex]."""
    plain = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _typed(path: Path, content: dict[str, Any]) -> Manifest:
    if missing := [key for key, kind in REQUIRED.items() if not isinstance(content.get(key), kind)]:
        raise CheckpointError(f"{path}: damaged (missing or of the wrong type: {', '.join(missing)})")
    if wrong := [key for key, kind in ADDED.items() if not isinstance(content.get(key, kind()), kind)]:
        raise CheckpointError(f"{path}: damaged ({wrong[0]} has the wrong type)")
    values = {key: value for key, value in content.items() if key in Manifest.__dataclass_fields__}
    return Manifest(**values | {name: _payload(path, content.get(name)) for name in ("last", "best")})


def _payload(path: Path, entry: Any) -> Payload | None:
    if not entry:
        return None
    try:
        return Payload(Path(entry["file"]).name, str(entry["sha256"]))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged (the name or SHA-256 of a file is missing)") from error


def _appearance(path: Path) -> str:
    """Describe a file that is not a manifest."""
    if path.exists() and not path.is_file():
        return "not a regular file"
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if (kind := rundir.looks_like(content[:512])) in ("something else", "a JSON file"):
        return f"incomplete, {len(content):,} bytes"
    return kind
