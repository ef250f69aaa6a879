"""Read and write a checkpoint's manifest: a JSON file with a checksum, also as earlier versions of trainctl wrote it.

It is written last: a checkpoint exists once its manifest does.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from torch import Tensor

from trainctl.errors import CheckpointError
from trainctl.run.state import TrainState
from trainctl.store import lock, records, rundir, runfile, runpath, tensors, typed
from trainctl.store.runpath import AnyPath, RunPath
from trainctl.store.tensors import Payload
from trainctl.store.typed import Count, WrongTypeError

# Fields added to format 1 since its first version are optional: where they are missing, the defaults of Manifest and
# TrainState are used. A change that an older version would misread needs a new number.
FORMAT = 1
NAME = re.compile(r"step-(\d{8,})\.json")
EARLIER = {"pending": Annotated[int, "[0, 1]"] | bool}  # in the state of earlier versions


Index = Annotated[str, r"re:\d{1,9}", "the index of a parameter"]


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
        fence: Fencing number of the lock under which it was written, see :mod:`trainctl.store.lock`.
        groups: Numbers in each of the optimizer's parameter groups.
        threads: Number of CPU threads; None if unknown.
        rows: Number of rows of each split; empty if unknown.
        evaluations: Lines that are missing from `metrics.jsonl` because it could not be written.
        settings: The configuration; empty if unknown.
        written_by: Versions of trainctl and torch, the processor and the user's own code.
    """

    step: Count
    state: dict[str, Any]
    data: dict[str, Any]
    optimizer: dict[Index, dict[str, Any]]
    scaler: dict[str, float | None]
    last: Payload
    best: Payload | None = None
    format: int = FORMAT
    fence: Count = 0
    groups: list[dict[str, Any]] = field(default_factory=list)
    threads: Annotated[int, "[1, 1048576]"] | None = None
    rows: dict[str, Count] = field(default_factory=dict)
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
    path: AnyPath
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


def path_of(directory: AnyPath, step: int) -> RunPath:
    """Return the path of a step's manifest."""
    return runpath.hold(directory) / "checkpoints" / f"step-{step:08d}.json"


def step_of(path: AnyPath) -> int:
    """Return the step in a manifest's name; -1 if the name is not a manifest's."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def all_paths(directory: AnyPath) -> list[RunPath]:
    """Return the paths of a run's manifests, including damaged ones, by their steps.

    Raises:
        CheckpointError: If the directory of checkpoints cannot be read, or is a link.
    """
    folder = runpath.hold(directory) / "checkpoints"
    return sorted((folder / name for name in runfile.names(folder) if NAME.fullmatch(name)), key=step_of)


def newest_first(directory: AnyPath) -> list[tuple[RunPath, "Manifest | CheckpointError"]]:
    """Return the manifests of a run, or what is wrong with them, the newest first; their files are not checked.

    The fencing number of the lock counts before the step: what a process writes after it has lost its lock to another
    one is never the newest. A damaged manifest counts as written together with that of the step before.

    Raises:
        CheckpointError: If the directory of checkpoints cannot be read, or is a link.
    """
    found: list[tuple[int, RunPath, Manifest | CheckpointError]] = []
    fence = 0
    for path in all_paths(directory):
        try:
            content: Manifest | CheckpointError = read(path, ())
        except CheckpointError as error:
            content = error
        fence = content.fence if isinstance(content, Manifest) else fence
        found.append((fence, path, content))
    found.sort(key=lambda entry: entry[0])  # stable: by the step within a lock
    return [(path, content) for _, path, content in reversed(found)]


def write(directory: AnyPath, manifest: Manifest) -> None:
    """Write a manifest with its checksum, after the tensor files: this completes the checkpoint.

    Raises:
        StorageError: If it cannot be written, or another process has written a checkpoint under a later lock.
    """
    held = runpath.hold(directory)
    lock.check(held)
    content = asdict(replace(manifest, fence=held.anchor.fence or lock.highest_fence(held)))
    rundir.write_json(path_of(held, manifest.step), content | {"sha256": checksum(content)})


def read(path: AnyPath, payloads: Iterable[str] = ("last", "best")) -> Manifest:
    """Read a manifest, and check the tensor files that are needed.

    Args:
        path: The manifest's path.
        payloads: The files to check: ``last``, ``best``, both, or none.

    Raises:
        NewerFormatError: If a newer version wrote it in a format that this version cannot read.
        CheckpointError: If the manifest or one of the files is damaged.
    """
    try:
        content = records.require_json(path, lock.LARGEST_MANIFEST)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: damaged ({_appearance(path, error)})") from error
    if content.get("sha256") != checksum(content):
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match)")
    version = content.get("format")
    if not isinstance(version, int) or version > FORMAT:
        by = written_by if isinstance(written_by := content.get("written_by"), dict) else {}
        raise NewerFormatError(
            f"{path}: has format {str(version)[:20]}, written by trainctl {str(by.get('trainctl', 'a newer version'))[:40]};"
            f" this is trainctl {rundir.version()}, which reads formats up to {FORMAT}: use that version or a newer one"
        )
    manifest = _typed(path, content)
    check_files(path, manifest, payloads)
    return manifest


def check_files(path: AnyPath, manifest: Manifest, payloads: Iterable[str]) -> None:
    """Check those files of a checkpoint that are needed.

    Raises:
        CheckpointError: If one of them is missing or damaged.
    """
    for name in payloads:
        if payload := getattr(manifest, name):
            tensors.check(path.parent / payload.file, payload.sha256)


def is_complete(path: AnyPath, manifest: Manifest) -> bool:
    """Return whether the files of a checkpoint exist. Their SHA-256 are not checked, to save time."""
    return all(runpath.kind(path.parent / payload.file) == "a file" for payload in manifest.payloads())


def checksum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's content without its ``sha256`` entry [hex]."""
    plain = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _typed(path: AnyPath, content: dict[str, Any]) -> Manifest:
    """Return a manifest of which every field has been checked.

    Raises:
        CheckpointError: If one is missing or wrong; names it.
    """
    try:
        manifest = typed.read(Manifest, content | {"best": content.get("best") or None})
        _check_state(manifest)
    except WrongTypeError as error:
        raise CheckpointError(f"{path}: damaged ({error})") from error
    return manifest


def _check_state(manifest: Manifest) -> None:
    """Check the fields of a state that are there; :func:`trainctl.store.restore.restore` checks whether all are.

    Raises:
        WrongTypeError: If one is wrong.
    """
    expected = {key: kind for key, (kind, _) in typed.annotations(TrainState).items()} | EARLIER
    for key, value in manifest.state.items():
        if key in ("stopping", "reaction") and isinstance(value, dict) and isinstance(value.get("best"), float):
            value = value | {"best": 0.0}  # a metric, which may be NaN or infinite
        if key in expected:
            typed.value(value, expected[key], f"state.{key}")
    for key in ("step", "evaluated"):
        if manifest.state.get(key, 0) > manifest.step:
            raise WrongTypeError(f"state.{key}: expected at most {manifest.step}, the step of the checkpoint")
    if bool(manifest.state.get("best")) != bool(manifest.best):
        raise WrongTypeError("best: expected a file of weights if there is a best evaluation, and none otherwise")


def _appearance(path: AnyPath, error: CheckpointError) -> str:
    """Describe a file that is not a manifest."""
    if (kind := runpath.kind(path)) != "a file":
        return f"is {kind}, not a file" if kind else str(error).removeprefix(f"{path}: ")
    try:
        with runfile.reader(path) as file:
            start, size = file.read(512), file.seek(0, 2)
    except CheckpointError:
        return str(error).removeprefix(f"{path}: ")
    if (looks := rundir.looks_like(start)) in ("something else", "a JSON file"):
        return f"incomplete, {size:,} bytes"
    return looks
