"""Find the newest intact checkpoint of a run and load it; every tensor and number must match the run."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trainctl.components.clean.base import Cleaner
from trainctl.components.early_stopping.base import Stopping
from trainctl.components.scale.base import Affine
from trainctl.components.schedule.base import Reaction
from trainctl.data.rows import Fitted
from trainctl.errors import CheckpointError
from trainctl.fileformat.boundary import reading
from trainctl.machine import device
from trainctl.run.run import Run
from trainctl.run.state import Best, TrainState
from trainctl.store import manifest, rundir, runpath
from trainctl.store.checkpoint import NUMBERS
from trainctl.store.difference import check_origin
from trainctl.store.manifest import Manifest, NewerFormatError, Saved
from trainctl.store.runpath import AnyPath
from trainctl.wording import agree, amount, shell_words

# Fields of the state that every checkpoint has; those added later have defaults.
FIRST = ("step", "seconds", "stopping", "reaction", "averaged", "best")
RECORDS: dict[str, Any] = {"stopping": Stopping, "reaction": Reaction, "best": Best}


def newest(directory: AnyPath, which: Sequence[str] = ("last", "best")) -> Saved:
    """Return the newest checkpoint of a run whose needed files are intact.

    Checkpoints may share one file of best weights, so damage to it can affect all of them. If no checkpoint has intact best
    weights, return the newest one whose ``last`` file is intact, without best weights.

    Raises:
        CheckpointError: If no checkpoint is intact.
    """
    troubles: list[str] = []
    found = manifest.newest_first(directory)
    for path, content in found:
        if isinstance(content, NewerFormatError):
            raise content
        try:
            return Saved(_intact(path, content, which), path, tuple(troubles))
        except CheckpointError as error:
            troubles.append(str(error))
    for path, content in found if "last" in which and "best" in which else ():
        with suppress(CheckpointError):
            intact = _intact(path, content, ["last"])
            lost = "the best weights are damaged in every checkpoint: the best evaluation from now on is kept instead"
            without = replace(intact, best=None, state=intact.state | {"best": None})
            return Saved(without, path, (*troubles, lost))
    reasons = troubles or [_why_none(directory)]
    raise CheckpointError("; ".join([f"{directory}: has no checkpoint to continue from", *reasons]))


def _why_none(directory: AnyPath) -> str:
    """Return why a run has no checkpoint, and the command that trains it from its first step."""
    held = runpath.hold(directory)
    again = f"to start it again: {shell_words(['trainctl', str(directory / 'config.yaml')])}"
    if any(runpath.kind(held / name) for name in ("metrics.jsonl", "summary.json")):
        return f"they were removed; {again}"
    return f"it was killed before its first one, so nothing was trained; {again}"


def _intact(path: AnyPath, content: Manifest | CheckpointError, which: Sequence[str]) -> Manifest:
    """Return a manifest whose needed files are intact.

    Raises:
        CheckpointError: If it is damaged, or one of these files is.
    """
    if isinstance(content, CheckpointError):
        raise content
    manifest.check_files(path, content, which)
    return content


def kept(directory: AnyPath) -> tuple[list[Saved], list[str]]:
    """Return all intact checkpoints of a run, the oldest first, and what is wrong with the others."""
    intact, troubles = [], []
    for path, content in reversed(manifest.newest_first(directory)):
        try:
            intact.append(Saved(_intact(path, content, ("last", "best")), path))
        except CheckpointError as error:
            troubles.append(str(error))
    return intact, troubles


def restore(run: Run, saved: Saved) -> None:
    """Load a checkpoint into a newly assembled run; the names and shapes of all tensors must match.

    Raises:
        CheckpointError: If the checkpoint belongs to another model, optimizer or data set, or is damaged.
    """
    check_origin(run, saved)
    with reading(str(saved.path), CheckpointError, "cannot be restored"):
        _restore(run, saved)


def _restore(run: Run, saved: Saved) -> None:
    content, named = saved.manifest, saved.tensors("last")
    load_weights(run.model, _part(named, "model."), saved.path)
    if run.average.model is not run.model:
        load_weights(run.average.model, _part(named, "average."), saved.path)
    if run.teacher.model is not None and run.teacher.changing_tensors:
        load_weights(run.teacher.model, _part(named, "teacher."), saved.path)
    load_optimizer(run.optimizer, _part(named, "optimizer."), content.optimizer, saved.path)
    restore_group_numbers(run.optimizer, content.groups)
    if run.scaler.is_enabled():
        run.scaler.load_state_dict(content.scaler)
    _restore_constraints(run, named, saved.path)
    run.sums.restore(named["sums"])
    _restore_state(run.state, saved)
    if run.state.best:
        run.state.best_weights = {
            key: value.to(run.device) for key, value in _part(saved.tensors("best"), "model.").items()
        }
    device.restore_random_states(_part(named, "random."), run.device)


def fitted(named: Mapping[str, Tensor]) -> Fitted:
    """Return the cleaning and the scalings among a checkpoint's tensors."""
    target = _part(named, "scale.target.")
    return Fitted(
        Cleaner(**_part(named, "clean.")),
        Affine(**_part(named, "scale.input.")),
        Affine(**target) if target else None,
    )


def _restore_constraints(run: Run, named: Mapping[str, Tensor], path: AnyPath) -> None:
    """Load what compression has decided, such as which weights stay 0.

    Raises:
        CheckpointError: If a tensor is missing, unknown or of another shape.
    """
    needed = {key: value for key, value in run.changing_tensors.items() if key.startswith("compress.")}
    saved = {key: value for key, value in named.items() if key.startswith("compress.")}
    for key in sorted(needed.keys() | saved.keys()):
        if key not in needed or key not in saved or needed[key].shape != saved[key].shape:
            raise CheckpointError(
                f"{path}: belongs to another compression: {key} has shape {_shape_of(saved, key)} in the checkpoint,"
                f" {_shape_of(needed, key)} in this run"
            )
        needed[key].copy_(saved[key])


def _shape_of(named: Mapping[str, Tensor], key: str) -> str:
    return str(tuple(named[key].shape)) if key in named else "none"


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], path: AnyPath) -> None:
    """Load a model's weights strictly.

    Raises:
        CheckpointError: If a tensor is missing, unknown or of another shape, or a weight is not finite.
    """
    needed = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    saved = {key: tuple(value.shape) for key, value in weights.items()}
    if needed != saved:
        different = sorted(key for key in needed.keys() | saved.keys() if needed.get(key) != saved.get(key))
        first = different[0]
        raise CheckpointError(
            f"{path}: belongs to another model: {len(different)} of {amount(len(needed.keys() | saved.keys()), 'tensor')}"
            f" {agree(len(different), 'differs', 'differ')}, e.g. {first}"
            f" ({_shape(saved, first)} in the checkpoint, {_shape(needed, first)} in this model)"
        )
    learned = dict(model.named_parameters())
    if broken := [key for key, value in weights.items() if _broken(value, finite=key in learned)]:
        raise CheckpointError(
            f"{path}: {len(broken)} of {amount(len(weights), 'tensor')} {agree(len(broken), 'has', 'have')}"
            f" weights that are not finite, e.g. {broken[0]}; remove this checkpoint to"
            " continue from the previous one"
        )
    model.load_state_dict(dict(weights))


def restore_group_numbers(optimizer: torch.optim.Optimizer, numbers: Sequence[Mapping[str, float]]) -> None:
    """Set the saved numbers of each parameter group; the others are unchanged."""
    for group, saved in zip(optimizer.param_groups, numbers, strict=False):
        group.update(
            {key: value for key, value in saved.items() if key not in group or type(group[key]) is type(value)}
        )


def _restore_state(state: TrainState, saved: Saved) -> None:
    """Set every field of the state; fields that are missing because they were added later keep their defaults."""
    numbers = _in_current_format(saved.manifest)
    unknown, missing = set(numbers) - set(NUMBERS), set(FIRST) - set(numbers)
    if unknown or missing:
        by = saved.manifest.written_by.get("trainctl", "another version")
        raise CheckpointError(
            f"{saved.path}: state does not match (missing: {', '.join(sorted(missing)) or 'none'}; unknown:"
            f" {', '.join(sorted(unknown)) or 'none'}); written by trainctl {by}, this is trainctl {rundir.version()}"
        )
    for key, value in numbers.items():
        record = RECORDS.get(key)
        try:
            setattr(state, key, record(**value) if record and value is not None else value)
        except TypeError as error:
            raise CheckpointError(f"{saved.path}: cannot read state.{key}: {error}") from error


def _in_current_format(content: Manifest) -> dict[str, Any]:
    """Return the fields of a state; earlier versions saved ``pending`` instead of ``evaluated``, or neither."""
    numbers = {key: value for key, value in content.state.items() if key != "pending"}
    if "evaluated" in numbers:
        return numbers
    evaluated = {"evaluated": content.evaluated, "evaluated_seconds": numbers.get("seconds")}
    return numbers | evaluated | {"position": max(0, content.step - 1)}


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str) -> str:
    return f"shape {shapes[name]}" if name in shapes else "missing"


def _part(named: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in named.items() if key.startswith(prefix)}


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    named: Mapping[str, Tensor],
    numbers: Mapping[str, Mapping[str, Any]],
    path: AnyPath,
) -> None:
    """Load an optimizer's state: tensors by ``index.key``, and numbers by index.

    Raises:
        CheckpointError: If it belongs to another optimizer, or contains NaN.
    """
    state: dict[int, dict[str, Any]] = {int(index): dict(entries) for index, entries in numbers.items()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in named.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = _like(value, parameters, int(index))
    current = optimizer.state_dict()
    indices = {index for group in current["param_groups"] for index in group["params"]}
    if not set(state) <= indices:
        raise CheckpointError(
            f"{path}: belongs to another optimizer: it has state for {amount(len(state), 'tensor')}, this run trains {len(indices)}"
        )
    if broken := [name for name, value in named.items() if _broken(value, finite=False)]:
        raise CheckpointError(
            f"{path}: the optimizer's state has NaN in {len(broken)} of {amount(len(named), 'tensor')}, e.g. {broken[0]}"
        )
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def _broken(value: Tensor, *, finite: bool) -> bool:
    """Return whether a tensor contains NaN, or infinity if it must be finite; buffers such as masks may be infinite."""
    return value.is_floating_point() and bool((~value.isfinite() if finite else value.isnan()).any())


def _like(value: Tensor, parameters: Sequence[Tensor], index: int) -> Tensor:
    """Return an optimizer's tensor in its parameter's memory layout, which fused optimizers require."""
    if index >= len(parameters) or value.shape != parameters[index].shape:
        return value
    return torch.empty_like(parameters[index], dtype=value.dtype, device=value.device).copy_(value)
