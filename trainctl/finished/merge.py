"""Merge runs into one run of a single model, without training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from trainctl.errors import CheckpointError, ConfigError
from trainctl.finished import compatibility
from trainctl.finished.averaging import Trial, average, cost_of, measured, ranked
from trainctl.finished.joining import join, joined_widths, require_addition, require_no_mixing
from trainctl.finished.open import Finished
from trainctl.run.model import build_model
from trainctl.run.parent import Parent
from trainctl.run.run import Evaluation, Run
from trainctl.run.units import describe
from trainctl.settings.config import Config
from trainctl.store import restore
from trainctl.store.records import MadeBy
from trainctl.train import cost
from trainctl.train.cost import Cost
from trainctl.train.evaluation import evaluate
from trainctl.train.made import Recipe, build, make

Method = Literal["greedy", "mean", "join"]
METHODS: tuple[Method, ...] = ("greedy", "mean", "join")


@dataclass(frozen=True)
class Settings:
    """How runs are merged.

    Args:
        method: ``greedy``, ``mean`` or ``join``.
        align: Whether hidden units are matched first.
    """

    method: Method
    align: bool


@dataclass(frozen=True)
class Merged:
    """A merged run that has not been written.

    Args:
        recipe: What it is made of.
        run: The run, with its weights.
        ranking: The parts and their validation metric, the best first.
        trials: What adding each part to the mean has done; empty for a joined run.
        value: Its own validation metric.
    """

    recipe: Recipe
    run: Run
    ranking: Sequence[tuple[Parent, float]]
    trials: Sequence[Trial]
    value: float


def configuration(parents: Sequence[Parent], settings: Settings, root: str, overrides: Sequence[str] = ()) -> Config:
    """Check that runs fit together, and return the configuration of the merged run.

    Args:
        parents: The runs.
        settings: How they are merged.
        root: Directory below which the new run gets its own.
        overrides: Settings of the machine that the user changes, such as ``device=cpu``.

    Raises:
        CheckpointError: If two runs do not fit; the message names the first difference.
        ConfigError: If the settings contradict each other.
    """
    joins = settings.method == "join"
    if joins and settings.align:
        raise ConfigError("align=true: method=join keeps the units of all parts, so there is nothing to match")
    compatibility.require_same_data(parents)
    compatibility.require_same_model(parents, widths=not joins)
    model = joined_widths([parent.config.parts["model"] for parent in parents]) if joins else None
    return compatibility.configuration(parents, root, overrides, None if model is None else {"model": model})


def merge(config: Config, parents: tuple[Parent, ...], settings: Settings) -> Merged:
    """Merge runs in memory.

    Args:
        config: The configuration of the merged run, see :func:`configuration`.
        parents: The runs.
        settings: How they are merged.

    Raises:
        TrainctlError: If the data cannot be read, or the models cannot be merged in this way.
    """
    first = parents[0]
    weights = joined(config, parents) if settings.method == "join" else first.model
    made_by = MadeBy("merge", dict(vars(settings)), trained=False)
    given = Recipe(config, first.schema, first.fitted, parents, weights, made_by)
    run = build(given)
    if settings.method == "join":
        models = [(parent, evaluate(alone(run, parent), "val")[config.monitor]) for parent in parents]
        ranking = sorted(models, key=lambda pair: cost_of(run, pair[1]))
        return Merged(given, run, ranking, (), measured(run, weights, "the joined model"))
    ranking = ranked(run, parents)
    trials = average(run, ranking, greedy=settings.method == "greedy", align=settings.align)
    result = [trial for trial in trials if trial.kept][-1]
    for model in (run.model, run.evaluation.model):
        restore.load_weights(model, result.weights, Path("the mean of the parts"))
    return Merged(replace(given, weights=result.weights), run, ranking, trials, result.together)


def joined(config: Config, parents: Sequence[Parent]) -> dict[str, Tensor]:
    """Return the weights of a model whose outputs are the mean of those of its parts.

    Raises:
        CheckpointError: If a norm computes statistics over units of several parts, or a width is no setting.
        ConfigError: If the hidden units of the model are not known.
    """
    large, _ = build_model(config, parents[0].schema, compatibility.CPU)
    structures, whole = [describe(compatibility.build_part(parent)[0]) for parent in parents], describe(large)
    try:
        require_addition(whole, structures)
    except CheckpointError as error:
        raise CheckpointError(f"method=join: {error}: use trainctl ensemble") from error
    require_no_mixing(whole, structures)
    return join([parent.model for parent in parents], structures, whole, large.state_dict())


def alone(run: Run, parent: Parent) -> Evaluation:
    """Return what measures a part with its own model on the rows of a run."""
    model, _ = compatibility.build_part(parent)
    restore.load_weights(model, parent.model, Path(parent.path))
    return replace(run.evaluation, model=model.to(run.device))


def write(merged: Merged, directory: Path | None) -> Path:
    """Write a merged run, and return its directory.

    Args:
        merged: The run.
        directory: Its directory; None for a new one below ``output.root``.

    Raises:
        StorageError: If it cannot be written.
    """
    return make(merged.run, merged.recipe.made_by, directory, cost_before(merged))


def cost_before(merged: Merged) -> Cost:
    """Return what the best part costs; of a joined run, what its parts cost together."""
    run = merged.run
    if not merged.trials:
        return cost.total([cost.measure(alone(run, parent), run.config.monitor) for parent, _ in merged.ranking])
    return cost.measure(alone(run, merged.ranking[0][0]), run.config.monitor)


def notes(merged: Merged) -> list[str]:
    """Return what the user is to know of a merged run, a line each."""
    run, (best, value) = merged.run, merged.ranking[0]
    found = compatibility.notes_on_rows(merged.recipe.parents)
    settings = merged.recipe.made_by.settings
    if cost_of(run, merged.value) > cost_of(run, value):
        aligned = "" if settings["align"] or settings["method"] == "join" else " align=true matches their hidden units;"
        greedy = " method=greedy leaves out what makes it worse;" if settings["method"] == "mean" else ""
        found.append(
            f"the merged run is worse than its best part {best.name} ({run.config.monitor} {merged.value:.4g}, not {value:.4g}):"
            f"{aligned}{greedy} runs that start from one common run (trainctl finetune) can be averaged; trainctl ensemble"
            " averages what the models predict"
        )
    elif merged.trials and sum(trial.kept for trial in merged.trials) == 1:
        aligned = "" if settings["align"] else "align=true matches their hidden units; "
        found.append(
            f"no mean was as good as the best part, so the merged run is {best.name} alone: {aligned}trainctl ensemble averages what"
            " the models predict"
        )
    return found


def recipe(run: Finished, parents: tuple[Parent, ...], settings: dict[str, Any]) -> Recipe:
    """Merge the parents of a run again.

    Raises:
        CheckpointError: If these are not settings of this command.
    """
    method, align = settings.get("method"), settings.get("align")
    if method not in METHODS or not isinstance(align, bool):
        raise CheckpointError(f"{run.directory / 'run.json'}: made_by.settings: expected method and align")
    return merge(run.config, parents, Settings(method, align)).recipe
