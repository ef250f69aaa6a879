"""Run <-> one directory on disk, atomically.

::

    checkpoints/
        step-00000120.json                 what a resumed run starts from; names the two files and their SHA-256
        last-00000120.safetensors          model, averaged model, optimizer, sums, random states, scalings, cleaning
        best-00000080.safetensors          the best weights so far, with scalings and cleaning

The JSON file is written last and is the commit: a checkpoint exists when its JSON file does. Old ones are
removed after that, and only files of ours. Nothing here is a pickle, nothing that is loaded executes.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from trainctl.components.clean.base import Cleaner
from trainctl.components.early_stopping.base import Stopping
from trainctl.components.scale.base import Affine
from trainctl.components.schedule.base import Reaction
from trainctl.data.rows import Fitted
from trainctl.errors import CheckpointError, StorageError
from trainctl.machine import device
from trainctl.run.run import Run
from trainctl.run.state import Best, TrainState
from trainctl.settings import component
from trainctl.settings.config import MAY_CHANGE, among, leaves, with_new_names
from trainctl.store import files as storage
from trainctl.store import rundir

# 1: the first. What was added since is optional: a checkpoint without it gets what ADDED says, and its state the
# defaults of TrainState. A change that an older version would misread needs a new number.
FORMAT = 1
ADDED: dict[str, Any] = {
    "groups": [],  # numbers that an optimizer keeps for a group of weights
    "threads": None,  # unknown: the machine's choice
    "rows": {},  # of each split; not compared
    "evaluations": [],  # that metrics.jsonl lacks
    "settings": {},  # the configuration; not compared
    "written_by": {},  # versions of trainctl and torch, the processor; not compared
}
OURS = re.compile(r"(step|last|best)-\d{8,}(-[0-9a-f]{8})?\.(json|safetensors)(\.tmp)?")
# What the state holds besides the tensors, which go to the payload; those of format 1 are never missing.
NUMBERS = tuple(one.name for one in fields(TrainState) if one.name != "best_weights")
FIRST = ("step", "seconds", "stopping", "reaction", "averaged", "best")
RECORDS: dict[str, Any] = {"stopping": Stopping, "reaction": Reaction, "best": Best}
SET_BY_THE_LOOP = ("lr", "initial_lr", "momentum")
SHOWN = 5  # differences named in a message


class _Newer(CheckpointError):
    """Written by a newer version: to pass it over would throw away what that one did."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint whose files are there and undamaged.

    Args:
        manifest: The JSON file's content.
        path: The JSON file.
        passed_over: What is wrong with newer checkpoints that had to be passed over.
    """

    manifest: dict[str, Any]
    path: Path
    passed_over: tuple[str, ...] = ()

    def tensors(self, which: str) -> dict[str, Tensor]:
        """Read the ``last`` or the ``best`` payload, its SHA-256 checked.

        Raises:
            CheckpointError: If there is none, or it is damaged.
        """
        entry = self.manifest.get(which)
        if not entry:
            raise CheckpointError(f"{self.path}: holds no {which} weights")
        return _read_tensors(self.path.parent / Path(entry["file"]).name, entry["sha256"])


def save(run: Run, directory: Path, rows: Sequence[Mapping[str, float]] = ()) -> None:
    """Write a checkpoint of the run as it is between two steps; remove those it makes superfluous.

    Args:
        run: What to save.
        directory: The run's.
        rows: Evaluations that `metrics.jsonl` does not hold, because it could not be written.

    Raises:
        StorageError: If it cannot be written; the checkpoint before is still there.
    """
    folder, state = directory / "checkpoints", run.state
    try:
        if not folder.is_dir():
            storage.make_directory(folder)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made: {error.strerror}") from error
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "step": state.step,
        "threads": torch.get_num_threads(),
        "data": run.data.about(),
        "rows": {name: len(rows) for name, rows in run.data.splits.items()},
        "settings": run.config.tree,
        "written_by": maker() | {"own_code": own_code(tuple(run.config.components))},
        "scaler": run.scaler.state_dict(),
        "groups": group_numbers(run.optimizer),
    }
    numbers = asdict(replace(state, best_weights={}))
    manifest["state"] = {key: numbers[key] for key in NUMBERS}
    optimizer, manifest["optimizer"] = _flatten_optimizer(run.optimizer)
    manifest["last"] = _write_tensors(folder / f"last-{state.step:08d}.safetensors", _tensors(run) | optimizer)
    if state.best:
        path = folder / f"best-{state.best.step:08d}.safetensors"
        weights = {f"model.{key}": value for key, value in state.best_weights.items()}
        manifest["best"] = _write_tensors(path, weights | _fitted(run))
    if rows:
        manifest["evaluations"] = [rundir.line(row) for row in rows]
    manifest["sha256"] = _digest(manifest)
    rundir.write_json(folder / f"step-{state.step:08d}.json", manifest)
    prune(directory, state.step, run.config.checkpoint.keep)


def size(run: Run) -> int:
    """Return about how many bytes a checkpoint takes; before the first step, an optimizer's state counts as two weights."""
    state = _flatten_optimizer(run.optimizer)[0] or {
        f"{index}.{name}": value for index in (1, 2) for name, value in run.model.named_parameters()
    }
    best = {f"best.{key}": value for key, value in run.model.state_dict().items()}
    names = 100 * (len(state) + len(best))  # in the headers, with shapes
    return names + 20_000 + sum(int(value.nbytes) for value in (_tensors(run) | state | best).values())


@cache
def maker() -> dict[str, str]:
    """Return what results depend on in their last bits: the versions, and the processor."""
    return {"trainctl": rundir.version(), "torch": torch.__version__, "processor": device.processor()}


@cache  # of what this process runs, whatever is edited meanwhile
def own_code(packages: tuple[str, ...]) -> str:
    """Return the SHA-256 of all modules of the user's packages, "" if there are none: what they do is part of a run."""
    files = [file for package in packages for folder in component.folders(package) for file in folder.rglob("*.py")]
    digest = hashlib.sha256()
    for file in sorted(files):
        with suppress(OSError):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12] if files else ""


def held(run: Run) -> dict[str, Tensor]:
    """Return all tensors that a checkpoint of the run as it is now would hold."""
    return _tensors(run) | _flatten_optimizer(run.optimizer)[0]


def _tensors(run: Run) -> dict[str, Tensor]:
    tensors = {f"model.{key}": value for key, value in run.model.state_dict().items()}
    if run.average.model is not run.model:
        tensors |= {f"average.{key}": value for key, value in run.average.model.state_dict().items()}
    tensors |= {f"random.{key}": value for key, value in device.random_states(run.device).items()}
    return tensors | _fitted(run) | {"sums": run.sums.sums}


def _fitted(run: Run) -> dict[str, Tensor]:
    data = run.data
    parts = {"scale.input": data.input_scale, "scale.target": data.target_scale, "clean": data.cleaner}
    return {
        f"{key}.{name}": value
        for key, part in parts.items()
        if part
        for name, value in vars(part).items()
        if value is not None
    }


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Split an optimizer's state into tensors by name, and plain numbers for JSON."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    return tensors, numbers


def group_numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, float]]:
    """Return the numbers of each group of weights: some optimizers count steps or adapt a rate there."""
    return [
        {
            key: value
            for key, value in group.items()
            if type(value) in (int, float) and key not in SET_BY_THE_LOOP  # flags depend on the device
        }
        for group in optimizer.param_groups
    ]


def restore_group_numbers(optimizer: torch.optim.Optimizer, numbers: Sequence[Mapping[str, float]]) -> None:
    """Set the numbers of each group of weights; those that were not saved stay."""
    for group, saved in zip(optimizer.param_groups, numbers, strict=False):
        group.update(saved)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Write a payload and return its entry in the manifest; a file that is there may be named by a checkpoint, so it stays."""
    # safetensors holds its content three times and ends the process where there is no memory for that.
    torch.empty(3 * sum(value.nbytes for value in tensors.values()), dtype=torch.uint8)
    content = safetensors.torch.save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    try:
        if path.exists():  # the same best weights; or what was saved at this step before an evaluation was made up for
            _check_file(path, digest)
            return {"file": path.name, "sha256": digest}
    except CheckpointError:
        path = path.with_stem(f"{path.stem}-{digest[:8]}")
    storage.write_bytes(path, content)
    return {"file": path.name, "sha256": digest}


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its own entry for it."""
    plain = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def prune(directory: Path, step: int, keep: int) -> None:
    """Remove what is ours and superfluous: all but the newest checkpoints up to a step, and what those do not name.

    A checkpoint of a later step was passed over as damaged when the run was resumed: its steps are being taken again.
    Nothing is removed while there is no whole checkpoint, and what cannot be removed stays until the next time.
    """
    with suppress(OSError):
        folder = directory / "checkpoints"
        whole = [path for path in folder.glob("step-*.json") if _step(path) <= step and _complete(path)]
        kept = sorted(whole, key=_step)[-max(keep, 2) :]
        named = {entry["file"] for path in kept for entry in map(rundir.read_json(path).get, ("last", "best")) if entry}
        named |= {path.name for path in kept}
        for path in folder.iterdir() if kept else ():
            if OURS.fullmatch(path.name) and path.name not in named:
                storage.remove(path)


def _complete(path: Path) -> bool:
    """Say whether a manifest is undamaged and its payloads are there; reading those for their SHA-256 would take long."""
    manifest = rundir.read_json(path)
    entries = [entry for entry in map(manifest.get, ("last", "best")) if entry]
    return manifest.get("sha256") == _digest(manifest) and all(
        (path.parent / entry["file"]).exists() for entry in entries
    )


def _step(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def newest(directory: Path, which: Sequence[str] = ("last", "best")) -> Saved:
    """Return the newest checkpoint of a run whose payloads of interest are undamaged.

    Checkpoints may share one file of best weights. Where that is damaged, and all else would be lost with it, the newest
    other one is returned without them.

    Raises:
        CheckpointError: If there is none.
    """
    troubles: list[str] = []
    paths = sorted((directory / "checkpoints").glob("step-*.json"), key=_step, reverse=True)
    for path in paths:
        try:
            return Saved(_read_manifest(path, which), path, tuple(troubles))
        except _Newer:
            raise
        except CheckpointError as error:
            troubles.append(str(error))
    for path in paths if "last" in which and "best" in which else ():
        with suppress(CheckpointError):
            manifest = _read_manifest(path, ["last"])
            without = manifest | {"best": None, "state": manifest["state"] | {"best": None}}
            return Saved(
                without, path, (*troubles, "the best weights, damaged in all of them: chosen anew from here on")
            )
    raise CheckpointError("; ".join([f"{directory}: has no checkpoint to go on from", *troubles]))


def kept(directory: Path) -> tuple[list[Saved], list[str]]:
    """Return all undamaged checkpoints of a run, the oldest first, and what is wrong with the others."""
    found, troubles = [], []
    for path in sorted((directory / "checkpoints").glob("step-*.json"), key=_step):
        try:
            found.append(Saved(_read_manifest(path, ("last", "best")), path))
        except CheckpointError as error:
            troubles.append(str(error))
    return found, troubles


def _read_manifest(path: Path, which: Sequence[str]) -> dict[str, Any]:
    manifest = rundir.read_json(path)
    if not manifest:
        raise CheckpointError(f"{path}: damaged ({_seen(path)})")
    if manifest.get("sha256") != _digest(manifest):
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match)")
    written = manifest.get("format")
    if not isinstance(written, int) or written > FORMAT:
        by = manifest.get("written_by", {}).get("trainctl", "a newer version")
        raise _Newer(
            f"{path}: is of format {written}, written by trainctl {by}; this is trainctl {rundir.version()}, which reads"
            f" formats up to {FORMAT}: use that version or a newer one"
        )
    for payload in which:
        if entry := manifest.get(payload):
            _check_file(path.parent / Path(entry["file"]).name, entry["sha256"])
    return ADDED | manifest


def _seen(path: Path) -> str:
    """Say what is to be seen where a whole file should be."""
    if path.exists() and not path.is_file():
        return "not a regular file"
    try:
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if (kind := rundir.looks_like(content[:512])) in ("something else", "a JSON file"):
        return f"{len(content):,} bytes that are not whole"
    return kind


def _check_file(path: Path, digest: str) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a device or a pipe has no end
            raise CheckpointError(f"{path}: damaged (not a regular file)")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        kind = rundir.looks_like(content[:512])
        hint = "" if kind == "something else" else f": {kind}"
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match{hint})")
    return content


def _read_tensors(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(_check_file(path, digest))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error


def restore(run: Run, saved: Saved) -> None:
    """Put a freshly assembled run into a saved state; every key must have its counterpart.

    Raises:
        CheckpointError: If the checkpoint belongs to another model, optimizer or data set.
    """
    check_origin(run, saved)
    manifest, tensors = saved.manifest, saved.tensors("last")
    load_weights(run.model, _part(tensors, "model."), saved.path)
    if run.average.model is not run.model:
        load_weights(run.average.model, _part(tensors, "average."), saved.path)
    _restore_optimizer(run.optimizer, _part(tensors, "optimizer."), manifest["optimizer"], saved.path)
    restore_group_numbers(run.optimizer, manifest["groups"])
    if run.scaler.is_enabled():
        run.scaler.load_state_dict(manifest["scaler"])
    run.sums.sums.copy_(tensors["sums"])
    _restore_state(run.state, manifest["state"], saved)
    if run.state.best:
        run.state.best_weights = {
            key: value.to(run.device) for key, value in _part(saved.tensors("best"), "model.").items()
        }
    device.restore_random_states(_part(tensors, "random."), run.device)


def check_origin(run: Run, saved: Saved) -> None:
    """Compare what a run is made of with what a checkpoint was made with; a resumed run's settings may change a little.

    Raises:
        CheckpointError: That says which settings, or what of the data, differ.
    """
    before, now = map(leaves, (with_new_names(saved.manifest["settings"]), _plain(run.config.tree)))
    fixed = [key for key in before if not among(key, MAY_CHANGE)]
    found = [
        f"{key}={before[key]} there, {now[key]} here" for key in fixed if key in now and now[key] != before[key]
    ] + [f"{key}={before[key]} only there" for key in fixed if key not in now]
    if found:
        raise CheckpointError(f"{saved.path}: belongs to another run: {_some(found)}")
    if saved.manifest["data"]["fingerprint"] != run.data.fingerprint:
        raise CheckpointError(f"{saved.path}: was made with other data: {_some(_data_differs(run, saved))}")


def _plain(tree: Any) -> Any:
    """Return what JSON would give back."""
    return json.loads(json.dumps(tree))


def _some(found: Sequence[str]) -> str:
    return "; ".join(found[:SHOWN]) + (f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _data_differs(run: Run, saved: Saved) -> list[str]:
    """Say what of the data differs; values, if it is nothing that can be named."""
    before, now, found = saved.manifest["data"], _plain(run.data.about()), []
    for key, word in (("class_names", "classes"), ("input_names", "columns"), ("target_names", "targets")):
        old, new = before.get(key), now[key]
        if old != new and sorted(old) == sorted(new):
            found.append(f"the {word} stand in another order: {', '.join(old)} there, {', '.join(new)} here")
        elif old != new:
            change = [f"+{name}" for name in new if name not in old] + [f"-{name}" for name in old if name not in new]
            found.append(f"other {word}: {_some(change)}")
    found += [
        f"its {key} was {before.get(key)}, is {now[key]}"
        for key in ("task", "outputs", "input_shape")
        if before.get(key) != now[key]
    ]
    rows = {name: len(part) for name, part in run.data.splits.items()}
    if (old := saved.manifest["rows"]) and old != rows:
        found.append(f"it had {sum(old.values()):,} rows, has {sum(rows.values()):,}")
    prints = f"(fingerprint {before['fingerprint'][:12]} there, {run.data.fingerprint[:12]} here)"
    return [*(found or ["values differ"]), prints]


def _restore_state(state: TrainState, numbers: Mapping[str, Any], saved: Saved) -> None:
    """Set every number; one that this version added to those of format 1 keeps its default if it was not saved."""
    unknown, missing = set(numbers) - set(NUMBERS), set(FIRST) - set(numbers)
    if unknown or missing:
        by = saved.manifest["written_by"].get("trainctl", "another version")
        raise CheckpointError(
            f"{saved.path}: its state holds {sorted(numbers)}, written by trainctl {by}; this is trainctl"
            f" {rundir.version()}, which needs {sorted(FIRST)} and knows {sorted(NUMBERS)}"
        )
    for key, value in numbers.items():
        record = RECORDS.get(key)
        try:
            setattr(state, key, record(**value) if record and value is not None else value)
        except TypeError as error:
            raise CheckpointError(f"{saved.path}: state.{key} is not understood: {error}") from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load a model's weights strictly.

    Raises:
        CheckpointError: If a name is missing, unknown, or has another shape, or a weight is not finite.
    """
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items()}
    if wanted != given:
        different = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
        first = different[0]
        raise CheckpointError(
            f"{path}: belongs to another model: {len(different)} tensors differ, the first is {first}"
            f" (saved {given.get(first, 'not at all')}, needed {wanted.get(first, 'not at all')})"
        )
    learned = dict(model.named_parameters())
    if broken := [key for key, value in weights.items() if _broken(value, finite=key in learned)]:
        raise CheckpointError(
            f"{path}: holds weights that are not finite, in {len(broken)} tensors, the first is {broken[0]}: nothing can"
            " be computed from them; remove this checkpoint to go on from the one before"
        )
    model.load_state_dict(dict(weights))


def _restore_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> None:
    state: dict[int, dict[str, Any]] = {int(index): dict(entries) for index, entries in numbers.items()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = _like(value, parameters, int(index))
    current = optimizer.state_dict()
    known = {index for group in current["param_groups"] for index in group["params"]}
    if not set(state) <= known:
        raise CheckpointError(
            f"{path}: belongs to another optimizer: it has state for {len(state)} tensors, this run has {len(known)}"
        )
    if broken := [name for name, value in tensors.items() if _broken(value, finite=False)]:
        raise CheckpointError(f"{path}: the optimizer's state is not a number in {len(broken)} tensors: {broken[0]}")
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def _broken(value: Tensor, *, finite: bool) -> bool:
    """Say whether a tensor holds NaN, or infinity where it must not; a buffer may, such as a mask."""
    return value.is_floating_point() and bool((~value.isfinite() if finite else value.isnan()).any())


def _like(value: Tensor, parameters: Sequence[Tensor], index: int) -> Tensor:
    """Return an optimizer's tensor with its memory in its parameter's order, as fused optimizers read both side by side."""
    if index >= len(parameters) or value.shape != parameters[index].shape:
        return value
    return torch.empty_like(parameters[index], dtype=value.dtype, device=value.device).copy_(value)


def fitted(tensors: Mapping[str, Tensor]) -> Fitted:
    """Return the cleaning and the scalings that a payload holds."""
    target = _part(tensors, "scale.target.")
    return Fitted(
        Cleaner(**_part(tensors, "clean.")),
        Affine(**_part(tensors, "scale.input.")),
        Affine(**target) if target else None,
    )
