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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from trainctl import device, rundir
from trainctl.clean.base import Cleaner
from trainctl.early_stopping.base import Stopping
from trainctl.errors import CheckpointError, StorageError
from trainctl.run import Fitted, Run
from trainctl.scale.base import Affine
from trainctl.schedule.base import Reaction
from trainctl.state import Best, TrainState

FORMAT = 1
OURS = re.compile(r"(step|last|best)-\d{8,}\.(json|safetensors)(\.tmp)?")
# What the state holds besides the tensors, which go to the payload.
NUMBERS = (
    "step", "seconds", "stopping", "reaction", "averaged", "best", "pending", "first_loss", "skipped", "skipped_in_row",
    "rewinds",
)  # fmt: skip


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


def save(run: Run, directory: Path) -> None:
    """Write a checkpoint of the run as it is between two steps; remove those it makes superfluous.

    Raises:
        StorageError: If it cannot be written; the checkpoint before is still there.
    """
    folder, state = directory / "checkpoints", run.state
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made: {error.strerror}") from error
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "step": state.step,
        "threads": torch.get_num_threads(),
        "data": run.data.about(),
        "scaler": run.scaler.state_dict(),
    }
    numbers = asdict(replace(state, best_weights={}))
    manifest["state"] = {key: numbers[key] for key in NUMBERS}
    optimizer, manifest["optimizer"] = _flatten_optimizer(run.optimizer)
    manifest["last"] = _write_tensors(folder / f"last-{state.step:08d}.safetensors", _tensors(run) | optimizer)
    if state.best:
        path = folder / f"best-{state.best.step:08d}.safetensors"
        weights = {f"model.{key}": value for key, value in state.best_weights.items()}
        manifest["best"] = _write_tensors(path, weights | _fitted(run))
    manifest["sha256"] = _digest(manifest)
    rundir.write_json(folder / f"step-{state.step:08d}.json", manifest)
    _prune(folder, run.config.checkpoint.keep)


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


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Write a payload and return its entry in the manifest."""
    content = safetensors.torch.save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    rundir.write_bytes(path, content)
    return {"file": path.name, "sha256": digest}


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its own entry for it."""
    plain = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _prune(folder: Path, keep: int) -> None:
    """Remove all but the newest checkpoints, and payloads that none of those names."""
    manifests = sorted(folder.glob("step-*.json"), key=_step)
    kept = manifests[-keep:]
    named = {entry["file"] for path in kept for entry in map(rundir.read_json(path).get, ("last", "best")) if entry}
    named |= {path.name for path in kept}
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)


def _step(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def newest(directory: Path, which: Sequence[str] = ("last", "best")) -> Saved:
    """Return the newest checkpoint of a run whose payloads of interest are undamaged.

    Raises:
        CheckpointError: If there is none.
    """
    troubles: list[str] = []
    for path in sorted((directory / "checkpoints").glob("step-*.json"), key=_step, reverse=True):
        try:
            return Saved(_read_manifest(path, which), path, tuple(troubles))
        except CheckpointError as error:
            troubles.append(str(error))
    raise CheckpointError("; ".join([f"{directory}: has no checkpoint to go on from", *troubles]))


def _read_manifest(path: Path, which: Sequence[str]) -> dict[str, Any]:
    manifest = rundir.read_json(path)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of format {FORMAT}, or damaged")
    if manifest.get("sha256") != _digest(manifest):
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match)")
    for payload in which:
        if entry := manifest.get(payload):
            _check_file(path.parent / Path(entry["file"]).name, entry["sha256"])
    return manifest


def _check_file(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{path}: damaged (its SHA-256 does not match)")
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
    manifest, tensors = saved.manifest, saved.tensors("last")
    if manifest["data"]["fingerprint"] != run.data.fingerprint:
        raise CheckpointError(
            f"{saved.path}: was made with other data (fingerprint {manifest['data']['fingerprint'][:12]}, now {run.data.fingerprint[:12]})"
        )
    load_weights(run.model, _part(tensors, "model."), saved.path)
    if run.average.model is not run.model:
        load_weights(run.average.model, _part(tensors, "average."), saved.path)
    _restore_optimizer(run.optimizer, _part(tensors, "optimizer."), manifest["optimizer"], saved.path)
    if run.scaler.is_enabled():
        run.scaler.load_state_dict(manifest["scaler"])
    run.sums.sums.copy_(tensors["sums"])
    _restore_state(run.state, manifest["state"], saved)
    if run.state.best:
        run.state.best_weights = {
            key: value.to(run.device) for key, value in _part(saved.tensors("best"), "model.").items()
        }
    device.restore_random_states(_part(tensors, "random."), run.device)


def _restore_state(state: TrainState, numbers: Mapping[str, Any], saved: Saved) -> None:
    if set(numbers) != set(NUMBERS):
        raise CheckpointError(f"{saved.path}: its state holds {sorted(numbers)}, this version needs {sorted(NUMBERS)}")
    for name in ("step", "seconds", "averaged", "pending", "first_loss", "skipped", "skipped_in_row", "rewinds"):
        setattr(state, name, numbers[name])
    state.stopping = Stopping(**numbers["stopping"])
    state.reaction = Reaction(**numbers["reaction"])
    state.best = Best(**numbers["best"]) if numbers["best"] else None


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load a model's weights strictly.

    Raises:
        CheckpointError: If a name is missing, unknown, or has another shape.
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
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


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
