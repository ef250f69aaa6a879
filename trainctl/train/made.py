"""Make a run without training it: a complete run directory of step 0, whose weights come from other runs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import StorageError
from trainctl.run.assemble import assemble
from trainctl.run.parent import Parent
from trainctl.run.run import Run
from trainctl.settings.config import Config
from trainctl.store import checkpoint, lock, restore, rundir, runpath
from trainctl.store import parents as stored_parents
from trainctl.store.building import building
from trainctl.store.records import MadeBy
from trainctl.train import best, checkpoint_writer, conclusion, cost, provenance
from trainctl.train.cost import Cost
from trainctl.train.evaluation import evaluate
from trainctl.train.loop import keep_best


@dataclass(frozen=True)
class Recipe:
    """What a run is made of.

    Args:
        config: The configuration of the new run.
        schema: The schema of its data; a run on other data is refused.
        fitted: Cleaning and scalings; None to fit them to the training rows.
        parents: The runs that it is made from.
        weights: The new model's state, complete.
        made_by: The command, its settings, and that it was not trained.
    """

    config: Config
    schema: Schema | None
    fitted: Fitted | None
    parents: tuple[Parent, ...]
    weights: Mapping[str, Tensor]
    made_by: MadeBy


def build(recipe: Recipe) -> Run:
    """Return the run in memory, with its weights.

    Raises:
        TrainctlError: If a part cannot be built, or the weights do not fit the model.
    """
    run = assemble(recipe.config, recipe.schema, recipe.parents, recipe.fitted, restored=True)
    restore.load_weights(run.model, recipe.weights, Path(run.config.output.root))
    if run.average.model is not run.model:
        restore.load_weights(run.average.model, recipe.weights, Path(run.config.output.root))
    return run


def make(run: Run, made_by: MadeBy, directory: Path | None = None, before: Cost | None = None) -> Path:
    """Measure a run that was built, and write it; nothing appears before it is complete.

    Args:
        run: The run, see :func:`build`.
        made_by: The command that makes it, and its settings.
        directory: Its directory, which must not exist; None for a new one below ``output.root``.
        before: The cost of the model from which it was made, for `summary.json`.

    Returns:
        Its directory.

    Raises:
        StorageError: If it cannot be written.
    """
    groups = ("dataset", "model")
    label = "-".join([made_by.verb, *(run.config.parts[group]["name"] for group in groups)])
    root = directory.absolute().parent if directory else rundir.root_of(run.config.output.root)
    with building(root) as place:
        rundir.make(place / "run")
        _write(run, place / "run", made_by, before)
        target = directory or root / rundir.new_name(label)
        try:
            (place / "run").rename(target)
        except OSError as error:
            raise StorageError(f"{target}: cannot be written: {error.strerror}") from error
    return target


def _write(run: Run, directory: Path, made_by: MadeBy, before: Cost | None) -> None:
    held = runpath.hold(directory)
    with lock.hold(held):
        checkpoint_writer.rehearse(run, held)
        rundir.write_config(held, run.config.tree, [])
        rundir.write_json(held / "run.json", provenance.run_json(run, made_by))
        stored_parents.write(held, run.parents)
        begin = time.monotonic()
        metrics = evaluate(run.evaluation, "val")
        keep_best(run, metrics[run.config.monitor])
        row = {"step": 0, "epoch": 0.0, "seconds": time.monotonic() - begin} | metrics
        rundir.write(held / "metrics.jsonl", rundir.line(row))
        tested, matrix = best.measure_test_split(run)
        size = cost.as_json(cost.measure(run.evaluation, run.config.monitor), before)
        if any(member["name"] != "none" for member in run.config.members("compress")):
            size |= {"zeros": cost.zeros(run.evaluation.model)}
        checkpoint.save(run, held)
        conclusion.draw(run, held, [row], matrix)
        command = made_by.verb
        summary = conclusion.summarize(run, "finished", f"made by {command}", metrics | tested)
        rundir.write_json(held / "summary.json", summary | {"size": size})
