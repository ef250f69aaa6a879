"""Make one run of several: the mean of their probabilities or predictions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from trainctl.components.clean.base import Cleaner, leaving_gaps
from trainctl.components.loss.base import Task
from trainctl.components.model.base import Reconstruction
from trainctl.components.model.ensemble import ensemble_in
from trainctl.components.scale.base import Affine
from trainctl.data.load import IDENTITY
from trainctl.data.rows import Fitted
from trainctl.finished import compatibility
from trainctl.finished.averaging import cost_of
from trainctl.finished.open import Finished
from trainctl.run.parent import Parent
from trainctl.run.run import Evaluation, Run
from trainctl.settings.config import Config, Tree
from trainctl.store.records import MadeBy
from trainctl.train import cost
from trainctl.train.evaluation import evaluate
from trainctl.train.made import Recipe, build, make


@dataclass(frozen=True)
class Combined:
    """An ensemble that has not been written.

    Args:
        recipe: What it is made of.
        run: The run, with its weights.
        alone: The validation metric of each part, measured on the same rows as the ensemble's.
        value: The validation metric of the ensemble.
    """

    recipe: Recipe
    run: Run
    alone: tuple[float, ...]
    value: float


def configuration(parents: Sequence[Parent], root: str, overrides: Sequence[str] = ()) -> Config:
    """Check that runs fit together, and return the configuration of their ensemble.

    Args:
        parents: The runs; their models, cleaning and scaling may differ.
        root: Directory below which the new run gets its own.
        overrides: Settings of the machine that the user changes, such as ``device=cpu``.

    Raises:
        CheckpointError: If two runs do not fit; the message names the first difference.
    """
    compatibility.require_same_data(parents)
    task = compatibility.require_same_task(parents)
    outer = fitted(parents, task)
    parts: list[Tree] = []
    for parent in parents:
        shapes = {name: list(tensor.shape) for name, tensor in conversions(parent, outer, task).items()}
        part: Tree = {"model": dict(parent.config.parts["model"]), "tensors": shapes}
        own = compatibility.converting(parent.config)  # concerns its layers, not those of the other parts
        parts.append(part | ({"compress": own} if own else {}))
    # Which weights were pruned in training says nothing about the other parts, nor about a student of all.
    changes = {"model": {"name": "ensemble", "parts": parts}, "compress": {"none": {"name": "none"}}}
    return compatibility.configuration(parents, root, overrides, changes)


def combine(config: Config, parents: tuple[Parent, ...]) -> Combined:
    """Make an ensemble in memory.

    Args:
        config: Its configuration, see :func:`configuration`.
        parents: The runs.

    Raises:
        TrainctlError: If the data cannot be read, or a part does not suit it.
    """
    made = recipe_of(config, parents)
    run = build(made)
    alone = tuple(evaluate(each, "val")[config.monitor] for each in apart(run))
    return Combined(made, run, alone, evaluate(run.evaluation, "val")[config.monitor])


def recipe_of(config: Config, parents: tuple[Parent, ...]) -> Recipe:
    """Return what an ensemble is made of: the weights of its parts, and their own cleaning and scaling."""
    task = compatibility.require_same_task(parents)
    outer = fitted(parents, task)
    prefix = "body.parts" if task == "reconstruction" else "parts"
    weights: dict[str, Tensor] = {}
    for number, parent in enumerate(parents):
        weights |= {f"{prefix}.{number}.model.{key}": value for key, value in parent.model.items()}
        weights |= {f"{prefix}.{number}.{key}": value for key, value in conversions(parent, outer, task).items()}
    return Recipe(config, parents[0].schema, outer, parents, weights, MadeBy("ensemble", {}, trained=False))


def fitted(parents: Sequence[Parent], task: Task) -> Fitted:
    """Return the cleaning and scaling of an ensemble's rows, before its parts receive them.

    What all parts have in common is done once. Otherwise, each part does it itself, and the ensemble takes the rows as
    they are. The values that a model learns to return are scaled as those of the first part, so that losses can be
    compared with it.

    Raises:
        CheckpointError: If autoencoders clean their rows in different ways: they would learn to return different rows.
    """
    first = parents[0].fitted
    cleaned = all(compatibility.same_tensors(first.cleaner, parent.fitted.cleaner) for parent in parents)
    scaled = cleaned and all(
        compatibility.same_tensors(first.input_scale, parent.fitted.input_scale) for parent in parents
    )
    if task == "reconstruction":
        compatibility.require_same_cleaning(parents)
        return first
    fills = [parent.fitted.cleaner.fill for parent in parents]
    filled = all(fill is not None for fill in fills)
    raw = leaving_gaps(fills[0]) if fills[0] is not None and filled else Cleaner()
    return Fitted(first.cleaner if cleaned else raw, first.input_scale if scaled else IDENTITY, first.target_scale)


def conversions(parent: Parent, outer: Fitted, task: Task) -> dict[str, Tensor]:
    """Return the tensors with which a part cleans and scales the rows of an ensemble, and its own outputs.

    Empty if the ensemble's are the part's own. A scaling that follows another one is composed in float64.
    """
    own = parent.fitted
    tensors: dict[str, Tensor] = {}
    if not compatibility.same_tensors(own.cleaner, outer.cleaner):
        tensors = {key: value for key, value in vars(own.cleaner).items() if value is not None}
    if not compatibility.same_tensors(own.input_scale, outer.input_scale):
        tensors |= named("input", outer.input_scale, own.input_scale)
        if task == "reconstruction":
            tensors |= named("output", own.input_scale, outer.input_scale)
    if own.target_scale and outer.target_scale and not compatibility.same_tensors(own.target_scale, outer.target_scale):
        tensors |= named("output", own.target_scale, outer.target_scale)
    return tensors


def named(kind: str, before: Affine, after: Affine) -> dict[str, Tensor]:
    """Return the factor and the offset that convert values in the scale of ``before`` to that of ``after``."""
    factor = after.factor.double() / before.factor.double()
    offset = after.offset.double() - before.offset.double() * factor
    return {f"{kind}_factor": factor.float(), f"{kind}_offset": offset.float()}


def apart(run: Run) -> list[Evaluation]:
    """Return what measures each part of an ensemble alone, on the ensemble's rows and in its units."""
    whole = ensemble_in(run.evaluation.model)
    assert whole
    # Not as ensembles of one part, whose mean costs time: the loss takes logits like logarithms of probabilities.
    reconstructs = run.task == "reconstruction"
    return [replace(run.evaluation, model=Reconstruction(part) if reconstructs else part) for part in whole.parts]


def write(combined: Combined, directory: Path | None) -> Path:
    """Write an ensemble, and return its directory.

    Args:
        combined: The ensemble.
        directory: Its directory; None for a new one below ``output.root``.

    Raises:
        StorageError: If it cannot be written.
    """
    run = combined.run
    best = min(zip(combined.alone, apart(run), strict=True), key=lambda pair: cost_of(run, pair[0]))[1]
    before = cost.measure(best, run.config.monitor)
    return make(run, combined.recipe.made_by, directory, before)


def notes(combined: Combined) -> list[str]:
    """Return what the user is to know of an ensemble, a line each."""
    run, found = combined.run, compatibility.notes_on_rows(combined.recipe.parents)
    best = min(combined.alone, key=lambda value: cost_of(run, value))
    if cost_of(run, combined.value) > cost_of(run, best):
        name = combined.recipe.parents[combined.alone.index(best)].name
        found.append(
            f"the ensemble is worse than its best part {name} ({run.config.monitor} {combined.value:.4g}, not {best:.4g}): leave out"
            " the worst parts"
        )
    return found


def recipe(run: Finished, parents: tuple[Parent, ...], settings: dict[str, Any]) -> Recipe:
    """Make an ensemble of the parents of a run again."""
    return recipe_of(run.config, parents)
