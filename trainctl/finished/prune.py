"""Make sparser or narrower runs from a trained run: by tuning, in rounds, from its first weights, or without training."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from trainctl.components.compress.base import prunable, ranked
from trainctl.errors import CheckpointError, ConfigError, ToleranceError
from trainctl.finished.open import Finished, Weights, load_model
from trainctl.report.reporters import Reporters
from trainctl.run.assemble import assemble
from trainctl.run.parent import Parent
from trainctl.settings import derive, existing, smaller
from trainctl.settings.config import Config
from trainctl.store import parents as stored_parents
from trainctl.store import records
from trainctl.store.records import MadeBy
from trainctl.train import cost, made, session
from trainctl.train.cost import Cost
from trainctl.train.made import Recipe
from trainctl.train.parentage import without_runs

Scope = Literal["weights", "units"]


@dataclass(frozen=True)
class Plan:
    """What to make.

    Args:
        amount: Fraction of the weights that are 0 in the end, or of the hidden units that are gone.
        scope: ``weights`` or ``units``.
        rounds: In how many rounds, each with a training of its own.
        rewind: Whether each round begins with the weights that the run began with, instead of the trained ones.
        gradual: Whether weights are pruned during the training, instead of before its first step.
        tune: Whether to train at all.
        which: The weights of the run: ``best`` or ``last``.
        tolerance: Most by which the monitored metric may become worse, in its unit; None for any loss.
    """

    amount: float
    scope: Scope = "weights"
    rounds: int = 1
    rewind: bool = False
    gradual: bool = False
    tune: bool = True
    which: str = "best"
    tolerance: float | None = None


@dataclass(frozen=True)
class Round:
    """A round that is done.

    Args:
        directory: Its run.
        before: The cost of the run from which the first round was made; None if that has other outputs.
        after: Its own cost.
        zeros: Fraction of zeros among the weights of each layer.
    """

    directory: Path
    before: Cost | None
    after: Cost
    zeros: Mapping[str, float]


Show = Callable[[Round], None]


def sparsity(run: Finished, which: str) -> float:
    """Return the fraction of a run's prunable weights that are 0."""
    return _zeros(run, run.weights(which))


def words_of(
    run: Finished, previous: Path, plan: Plan, remaining: float, overrides: list[str], config_dir: str | None
) -> tuple[Config, list[str]]:
    """Return the configuration of a round, and the words that compose it.

    Args:
        run: The run to prune.
        previous: The run of the previous round; that of ``run`` in the first.
        plan: What to make.
        remaining: The fraction of weights or units that remain after this round.
        overrides: What the user wants to be different.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If something is wrong with them.
    """
    tree = run.config.tree
    start = ["init=run", f"init.run={previous}"] + (["init.which=last"] if plan.which == "last" else [])
    if plan.scope == "units":
        chosen = [*start, *smaller.narrower(run.config.parts["model"], remaining)]
    else:
        chosen = smaller.sparser(tree, 1 - remaining, smaller.GRADUAL_END if plan.gradual else 0.0)
        chosen += [f"compress.prune.by_run={previous}"] if plan.rewind else start
        if typed := [word for word in overrides if word.startswith("compress=")]:
            if "prune" not in typed[-1].partition("=")[2].strip("[]").split(","):
                raise ConfigError(f"{typed[-1]}: prune needs compress=prune; add it, or leave compress out")
            chosen = [word for word in chosen if not word.startswith("compress=")]
    return derive.derived(tree, [*chosen, *overrides], config_dir)


def prune(
    run: Finished,
    plan: Plan,
    overrides: list[str],
    directories: list[Path],
    *,
    config_dir: str | None,
    reporters: Reporters,
    show: Show,
    say: Callable[[str], None],
) -> None:
    """Make the runs of all rounds; the run itself is only read.

    Args:
        run: The run.
        plan: What to make.
        overrides: Settings in which the new runs differ from the run.
        directories: A new directory for each round.
        config_dir: The user's directory of configuration files.
        reporters: Builds the reporters of each training.
        show: Called after each round.
        say: Receives the full command of each round, and its directory.

    Raises:
        CheckpointError: If the run is damaged, or the first weights of a run that has none are needed.
        ConfigError: If a setting is wrong, or the run already is as sparse.
        ToleranceError: If a round is worse by more than the plan tolerates; it is the last one, and all are kept.
    """
    done, baseline = (sparsity(run, plan.which) if plan.scope == "weights" else 0.0), None
    if done >= plan.amount:
        raise ConfigError(
            f"amount={plan.amount:g}: {done:.4g} of the weights of {run.directory.name} are already 0; use a larger amount"
        )
    previous = run.directory.path.absolute()
    for number, remaining in enumerate(smaller.remaining(plan.amount, done, plan.rounds), 1):
        config, words = words_of(run, previous, plan, remaining, overrides, config_dir)
        settings = {"run": str(run.directory), "amount": plan.amount, "scope": plan.scope, "which": plan.which}
        settings |= {
            "rewind": plan.rewind,
            "round": number,
            "rounds": plan.rounds,
            "removed": float(f"{1 - remaining:.6g}"),
        }
        made_by = MadeBy("prune", settings, trained=plan.tune)
        target = directories[number - 1]
        if plan.tune:
            say(f"the same as: {derive.command(words, config_dir)}")
            found = _parents(run, previous, plan, config)
            session.begin(config, words, target, reporters=reporters, parents=found, made_by=made_by)
        else:
            _make(config, stored_parents.open_parent(previous, "start", plan.which, config.components), made_by, target)
        summary = records.read_summary(target)
        before, after = cost.from_json(asdict(summary.size) if summary.size else None)
        baseline = baseline or before
        if summary.size and after:
            show(Round(target, baseline, after, summary.size.zeros))
        say(f"run: {target}")
        if not after:
            break  # the training was stopped, which it has reported
        _require_tolerable(
            baseline, after, plan, f"round {number} of {plan.rounds}, with {remaining:.3g} left", previous
        )
        previous = target.absolute()


def _require_tolerable(before: Cost | None, after: Cost, plan: Plan, what: str, previous: Path) -> None:
    """Check that a round is not worse than tolerated.

    Raises:
        ToleranceError: If it is; the message names the run before it.
    """
    try:
        cost.require_tolerable(before, after, plan.tolerance)
    except ToleranceError as error:
        hint = f"; this was {what}; the run before it is {previous}" if plan.rounds > 1 else ""
        raise ToleranceError(f"{error}{hint}") from error


def _parents(run: Finished, previous: Path, plan: Plan, config: Config) -> tuple[Parent, ...]:
    """Return what a round is made from: the previous round, and what the run itself was made from.

    Raises:
        CheckpointError: If a run that was not trained is to be rewound.
    """
    facts = records.read_facts(run.directory)
    if plan.rewind and facts.made_by and not facts.made_by.trained:
        raise CheckpointError(
            f"{run.directory}: was made without training, so there are no first weights: use rewind=false"
        )
    own = stored_parents.read(run.directory, config.components)
    inherited = tuple(one for one in own if one.role != "ranking" and (plan.rewind or one.role != "start"))
    role: Literal["ranking", "start"] = "ranking" if plan.rewind else "start"
    return (*inherited, stored_parents.open_parent(previous, role, plan.which, config.components))


def _zeros(run: Finished, weights: Weights) -> float:
    names = prunable(load_model(run, weights)[0])
    total = sum(weights.model[name].numel() for name in names)
    return 1 - sum(int(weights.model[name].count_nonzero()) for name in names) / max(total, 1)


def _make(config: Config, parent: Parent, made_by: MadeBy, target: Path) -> None:
    """Make a run without training it."""
    new = made.build(recipe(existing.check(without_runs(config.tree, but="start")), parent, made_by))
    plain = existing.check(without_runs(parent.config.tree))
    before = assemble(plain, parent.schema, (parent,), parent.fitted, restored=True)
    before.model.load_state_dict(parent.model)
    measured = cost.measure(replace(before.evaluation, model=before.model), parent.config.monitor)
    made.make(new, made_by, target, measured)


def recipe(config: Config, parent: Parent, made_by: MadeBy) -> Recipe:
    """Return what a run is made of that is pruned without training: its parent's weights, fewer or with zeros."""
    new = assemble(config, parent.schema, (parent,), parent.fitted)
    weights = dict(new.model.state_dict())
    if made_by.settings["scope"] == "weights":
        named = prunable(new.model)
        by_layer = config.parts["compress"]["prune"]["scope"] == "layer"
        magnitudes = {name: weight.detach().abs() for name, weight in named.items()}
        keep = ranked(magnitudes, made_by.settings["removed"], by_layer=by_layer)
        weights |= {name: torch.where(keep[name], weight.detach(), 0.0) for name, weight in named.items()}
    return Recipe(config, parent.schema, parent.fitted, (parent,), weights, made_by)


def maker(run: Finished, given: tuple[Parent, ...], settings: dict[str, Any]) -> Recipe:
    """Return what a run is made of that was pruned without training, from the copy of its parent."""
    fits = isinstance(settings.get("removed"), float) and settings.get("scope") in ("weights", "units")
    if len(given) != 1 or not fits:
        raise CheckpointError(f"{run.directory}: damaged (expected one parent, and made_by.settings.removed)")
    return recipe(run.config, given[0], MadeBy("prune", settings, trained=False))
