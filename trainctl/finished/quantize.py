"""Make a run with weights and activations of 8 bits from a trained run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainctl.components.compress.int8 import fix, ranges
from trainctl.errors import CheckpointError
from trainctl.finished import announcement
from trainctl.finished.open import Finished
from trainctl.machine.device import autocast
from trainctl.run.assemble import prepare
from trainctl.run.model import build_model
from trainctl.run.parent import Parent
from trainctl.run.run import Evaluation, Run
from trainctl.settings import existing
from trainctl.settings.config import Config
from trainctl.store import parents, records, restore
from trainctl.store.records import MadeBy
from trainctl.train import cost, made
from trainctl.train.cost import Cost
from trainctl.train.made import Recipe
from trainctl.train.parentage import without_runs


@dataclass(frozen=True)
class Quantised:
    """What was made.

    Args:
        directory: The new run.
        before: The cost of the run from which it was made.
        after: Its own cost.
        rows: Training rows from which ranges of activations were recorded; 0 if training had recorded them.
    """

    directory: Path
    before: Cost
    after: Cost
    rows: int


def quantize(run: Finished, which: str, calibrate: int, directory: Path | None = None) -> Quantised:
    """Make a run with weights and activations of 8 bits, and measure both; the run itself is only read.

    Args:
        run: The run.
        which: Its weights: ``best`` or ``last``.
        calibrate: Most training rows from which the ranges of activations are recorded.
        directory: Directory of the new run; None for a new one below ``output.root``.

    Raises:
        CheckpointError: If the run is damaged, or already stored with 8 bits.
        ConfigError: If its model has no layer that can be quantised.
    """
    facts = records.read_facts(run.directory)
    if facts.made_by and facts.made_by.verb == "quantize":
        raise CheckpointError(f"{run.directory}: its weights already have 8 bits")
    parent = replace(parents.open_parent(run.directory, "start", which, run.config.components), config=run.config)
    made_by = MadeBy("quantize", {"run": str(run.directory), "which": which, "calibrate": calibrate}, trained=False)
    new, rows = quantised(recipe(parent, made_by))
    before = _cost_before(new, parent)
    target = made.make(new, made_by, directory, before)
    _, after = announcement.recorded(target)
    assert after
    return Quantised(target, before, after, rows)


def maker(run: Finished, given: tuple[Parent, ...], settings: dict[str, Any]) -> Recipe:
    """Return what a quantised run is made of, from the copy of its parent."""
    if len(given) != 1 or not isinstance(settings.get("calibrate"), int):
        raise CheckpointError(f"{run.directory}: damaged (expected one parent, and made_by.settings.calibrate)")
    wanted = recipe(given[0], MadeBy("quantize", settings, trained=False))
    wanted = replace(wanted, config=run.config)
    return replace(wanted, weights=quantised(wanted)[0].model.state_dict())


def recipe(parent: Parent, made_by: MadeBy) -> Recipe:
    """Return the configuration and the weights of a quantised run, before anything was rounded."""
    config = with_int8(parent.config)
    device, _ = prepare(config)
    template = build_model(config, parent.schema, device)[0].state_dict()
    return Recipe(config, parent.schema, parent.fitted, (parent,), template | parent.model, made_by)


def with_int8(config: Config) -> Config:
    """Return the configuration of a run whose model computes with 8 bits, in one process."""
    members = {label: one for label, one in config.parts["compress"].items() if one["name"] != "none"}
    members |= {} if "int8" in members else {"int8": {"name": "int8", "begin": 0.0}}
    return existing.check(without_runs(config.tree | {"compress": members}))


def quantised(wanted: Recipe) -> tuple[Run, int]:
    """Return a run with rounded weights and recorded ranges of activations, and the number of rows they are from."""
    run = made.build(wanted)
    calibrated = all(bool(one.known) for one in ranges(run.model))
    measured = replace(run.evaluation, model=run.model)
    rows = 0 if calibrated else record_ranges(measured, wanted.made_by.settings["calibrate"])
    fix(run.model)
    if run.evaluation.model is not run.model:
        run.evaluation.model.load_state_dict(run.model.state_dict())
        fix(run.evaluation.model)
    return run, rows


@torch.no_grad()
def record_ranges(evaluation: Evaluation, most: int) -> int:
    """Record the ranges of activations on evenly spaced training rows, in floating point; return how many rows.

    Args:
        evaluation: A model with layers of 8 bits, its data, and how it computes.
        most: Most rows.
    """
    model, (stored, _) = evaluation.model, evaluation.data.splits["train"].sample(most)
    found = list(ranges(model))
    model.eval()
    for one in found:
        one.recording = True
    try:
        for portion in stored.split(evaluation.batch_size):
            with autocast(evaluation.device, evaluation.precision):
                model(evaluation.data.input_scale(portion))
    finally:
        for one in found:
            one.recording = False
        model.train()
    return len(stored)


def _cost_before(run: Run, parent: Parent) -> Cost:
    """Return the cost of the run from which a quantised one is made, on the same rows."""
    model, _ = build_model(parent.config, parent.schema, run.device)
    restore.load_weights(model, parent.model, Path(parent.path))
    stored = cost.stored_bytes(model)  # before its weights are rounded, in which form they would be stored as integers
    fix(model)
    return replace(cost.measure(replace(run.evaluation, model=model), run.config.monitor), bytes=stored)
