"""Write and remove a run's checkpoints; each write is atomic.

::

    checkpoints/
        step-00000120.json                 step, numbers of the state; names and SHA-256 of the other two files
        last-00000120.safetensors          model, averaged model, optimizer, sums, random states, scalings, cleaning
        best-00000080.safetensors          the best weights so far, with scalings and cleaning

The JSON file is written last: a checkpoint exists once that file does, see :mod:`trainctl.store.manifest`. Only then are
old checkpoints removed, and no file that trainctl did not write. No file is a pickle; loading one executes no code.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from torch import Tensor

from trainctl.components.compress.int8 import quantised_weights
from trainctl.data.rows import Fitted
from trainctl.errors import CheckpointError
from trainctl.machine import device
from trainctl.run.model import held
from trainctl.run.run import Run
from trainctl.run.state import TrainState
from trainctl.store import difference, directories, files, int8, manifest, rundir, runfile, runpath, tensors
from trainctl.store.manifest import Manifest, NewerFormatError
from trainctl.store.runpath import AnyPath

OURS = re.compile(r"(step|last|best)-\d{8,}(-[0-9a-f]{8})?\.(json|safetensors)(\.tmp)?|\.trainctl-[0-9a-f]{16}\.tmp")
# The fields of a state that are saved in the manifest; the best weights are saved in a file of their own.
NUMBERS = tuple(field.name for field in fields(TrainState) if field.name != "best_weights")
Flattened = tuple[dict[str, Tensor], dict[str, dict[str, Any]]]  # an optimizer's state: tensors by name, numbers
WholeState = tuple[dict[str, Tensor], dict[str, dict[str, Any]], Mapping[str, Tensor]]  # and the best weights
SET_BY_THE_LOOP = ("lr", "initial_lr", "momentum")


def save(
    run: Run, directory: AnyPath, rows: Sequence[Mapping[str, float]] = (), whole: WholeState | None = None
) -> None:
    """Write a checkpoint of the run between two steps, and remove the checkpoints that are no longer needed.

    Args:
        run: The run to save.
        directory: The run's directory.
        rows: Evaluations that are missing from `metrics.jsonl` because it could not be written.
        whole: What the processes divide, gathered: tensors of the optimizer's state and perhaps of the model, the numbers
            of the state, and the best weights; None if this process has all of it.

    Raises:
        StorageError: If the checkpoint cannot be written; earlier checkpoints are kept.
    """
    directory = runpath.hold(directory)
    folder, state = directory / "checkpoints", run.state
    directories.ensure_directory(folder)
    named, optimizer_numbers, best_weights = whole or (*flatten_optimizer(run.optimizer), state.best_weights)
    last = tensors.write(folder / f"last-{state.step:08d}.safetensors", stored(run, _tensors(run) | named))
    best = None
    if state.best:
        weights = {f"model.{key}": value for key, value in best_weights.items()}
        best = tensors.write(
            folder / f"best-{state.best.step:08d}.safetensors",
            stored(run, weights | fitted_tensors(run.data.fitted)),
        )
    numbers = asdict(replace(state, best_weights={}))
    content = Manifest(
        step=state.step,
        state={key: numbers[key] for key in NUMBERS},
        data=run.data.schema.to_json(),
        optimizer=optimizer_numbers,
        scaler=run.scaler.state_dict(),
        last=last,
        best=best,
        groups=group_numbers(run.optimizer),
        threads=torch.get_num_threads(),
        rows={name: len(part) for name, part in run.data.splits.items()},
        evaluations=[rundir.line(row) for row in rows],
        settings=run.config.tree,
        written_by=difference.written_by(run.config),
    )
    manifest.write(directory, content)
    remove_old(directory, state.step, run.config.checkpoint.keep)


def remove_old(directory: AnyPath, step: int, keep: int) -> None:
    """Keep the newest ``keep`` complete checkpoints up to ``step`` and their files; remove our other files.

    Checkpoints of later steps are removed, too: they were skipped as damaged when the run was resumed, and their steps are
    being repeated. At least two checkpoints are kept. Nothing is removed if no checkpoint is complete, or if a newer version
    of trainctl wrote one. Files that cannot be removed now are tried again at the next call.
    """
    folder = runpath.hold(directory) / "checkpoints"
    with suppress(CheckpointError):
        found = manifest.newest_first(directory)
        if any(isinstance(content, NewerFormatError) for _, content in found):
            return
        complete = {
            path.name: content
            for path, content in found
            if isinstance(content, Manifest) and content.step <= step and manifest.is_complete(path, content)
        }
        kept = dict(list(complete.items())[: max(keep, 2)])
        needed = {*kept, *(payload.file for content in kept.values() for payload in content.payloads())}
        for name in runfile.names(folder) if kept else ():
            if OURS.fullmatch(name) and name not in needed:
                files.remove(folder / name)


def size(run: Run) -> int:
    """Estimate the size of a checkpoint [bytes], also from the share of a process that divides the weights with others.

    Before the first step the optimizer has no state; it is then assumed to be twice as large as the weights.
    """
    own, whole = held(run.model), run.model.state_dict()
    state = flatten_optimizer(run.optimizer)[0] or {
        f"{index}.{name}": own.get(name, value) for index in (1, 2) for name, value in run.model.named_parameters()
    }
    best = {f"best.{key}": value for key, value in own.items()}
    divided = any(own[key].shape != value.shape for key, value in whole.items())
    shares = run.world.size if divided else 1
    names = 100 * (len(state) + len(best))  # in the headers, with shapes
    return names + 20_000 + shares * sum(int(value.nbytes) for value in (_tensors(run) | state | best).values())


def all_tensors(run: Run, whole: WholeState | None = None) -> dict[str, Tensor]:
    """Return all tensors that a checkpoint written now would contain in its ``last`` file; ``whole`` as for :func:`save`."""
    named = _tensors(run) | (whole[0] if whole else flatten_optimizer(run.optimizer)[0])
    return int8.decode(stored(run, named), "memory")


def group_numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, float]]:
    """Return the numbers in each parameter group: some optimizers count steps or adapt a rate there."""
    return [
        {
            key: value
            for key, value in group.items()
            if type(value) in (int, float) and key not in SET_BY_THE_LOOP  # flags depend on the device
        }
        for group in optimizer.param_groups
    ]


def stored(run: Run, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in the form in which they are written, which takes less space and is as exact.

    Weights of 8 bits become integers, and masks booleans.
    """
    axes = {
        f"{part}.{name}": axis
        for part, model in (("model", run.model), ("average", run.average.model))
        for name, axis in quantised_weights(model).items()
        if f"{part}.{name}" in named
    }
    masks = {
        key: value.bool()
        for key, value in named.items()
        if key.startswith("compress.") and value.is_floating_point() and torch.equal(value.bool().to(value), value)
    }
    return int8.encode({**named, **masks}, axes)


def _tensors(run: Run) -> dict[str, Tensor]:
    random = {f"random.{key}": value for key, value in device.random_states(run.device).items()}
    return run.changing_tensors | random | fitted_tensors(run.data.fitted)


def fitted_tensors(fitted: Fitted) -> dict[str, Tensor]:
    """Return the tensors of cleaning and scalings by name; :func:`trainctl.store.restore.fitted` reads them."""
    parts = {"scale.input": fitted.input_scale, "scale.target": fitted.target_scale, "clean": fitted.cleaner}
    return {
        f"{key}.{name}": value
        for key, part in parts.items()
        if part
        for name, value in vars(part).items()
        if value is not None
    }


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> Flattened:
    """Split an optimizer's state into tensors by name, ``optimizer.index.key``, and plain numbers for JSON."""
    named: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                named[f"optimizer.{index}.{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    return named, numbers
