"""Measure a run for its page: what it predicts for the rows of a split, its metrics, and those of the trivial model."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainctl.components.compress import int8
from trainctl.components.metric.base import Scores
from trainctl.components.schedule.base import as_schedule
from trainctl.data.rows import SplitName
from trainctl.errors import CheckpointError, ConfigError
from trainctl.fileformat import fingerprints
from trainctl.fileformat.waiting import waiting
from trainctl.finished.features import Features, features
from trainctl.finished.open import Finished
from trainctl.finished.outcomes import Outcomes, portion
from trainctl.report.curve_charts import Planned
from trainctl.run import metric_names
from trainctl.run.assemble import assemble_evaluation
from trainctl.run.factory import member
from trainctl.run.plan import make_plan
from trainctl.run.run import Evaluation, Plan
from trainctl.store import records, restore
from trainctl.train import baseline
from trainctl.train.baseline import Trivial
from trainctl.train.evaluation import evaluate, outputs, scores_of


@dataclass(frozen=True)
class Measured:
    """A run with its weights and its data, and what it predicts.

    Args:
        run: The run.
        evaluation: Its model with the weights, in evaluation mode, and its data.
        split: The split whose rows are shown.
        which: The weights: ``best`` or ``last``.
        step: Number of optimizer steps that the weights were trained for.
        results: What is predicted for each row.
        scores: Targets and predictions as metrics read them; None for a reconstruction.
        metrics: The metrics of the split, by ``split/name``.
        intervals: Their 95 % intervals, as far as they are known.
        trivial: What a model reaches that ignores the inputs.
        described: The features of the rows.
        own_data: Whether the data is the data that the run was trained with.
    """

    run: Finished
    evaluation: Evaluation
    split: SplitName
    which: str
    step: int
    results: Outcomes
    scores: Scores | None
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    trivial: Trivial
    described: Features
    own_data: bool

    @property
    def rows(self) -> int:
        """How many rows are shown."""
        return len(self.results.error)


def measure(run: Finished, split: str, which: str) -> Measured:
    """Measure a run on a split of its data.

    Args:
        run: The run.
        split: ``train``, ``val`` or ``test``; empty for test if the run is finished and has such rows, else val.
        which: The weights: ``best`` or ``last``.

    Raises:
        DataError: If the data cannot be read, or does not match the run.
        ConfigError: If the split has no rows.
        CheckpointError: If configuration and weights do not match.
    """
    weights = run.weights(which)
    try:
        measured = assemble_evaluation(run.config, run.schema, weights.fitted)
    except ConfigError as error:
        if run.overrides:
            raise
        raise CheckpointError(f"{run.directory / 'config.yaml'}: {error}") from error
    restore.load_weights(measured.model, weights.model, run.directory)
    int8.fix(measured.model)
    shown: SplitName = split if split in ("train", "val", "test") else _usual(run, measured)  # type: ignore[assignment]
    if not len(measured.data.splits[shown]):
        raise ConfigError(f"split={shown}: the data has no such rows")
    results, scores = answers(measured, shown)
    metrics = evaluate(measured, shown)
    trivial = baseline.trivial(measured, shown)
    intervals = baseline.intervals(measured, shown, metrics)
    measured.model.eval()  # an evaluation ends in training mode
    own_data = not fingerprints.differ([measured.data.schema.fingerprint, run.schema.fingerprint])
    described = features(measured.data.schema)
    return Measured(
        run, measured, shown, which, weights.step, results, scores, metrics, intervals, trivial, described, own_data
    )


def _usual(run: Finished, measured: Evaluation) -> SplitName:
    """Return the split to show: the test split is looked at once, when the run is finished, or by the command that made it."""
    finished = run.saved.manifest.step >= plan_of(run, measured).total_steps or _stopped(run) or _tested(run)
    return "test" if finished and len(measured.data.splits["test"]) else "val"


def _tested(run: Finished) -> bool:
    return any(name.startswith("test/") for name in records.read_summary(run.directory).metrics)


def _stopped(run: Finished) -> bool:
    stopping = run.saved.manifest.state.get("stopping")
    return isinstance(stopping, dict) and stopping.get("stop") is True


def answers(measured: Evaluation, split: SplitName) -> tuple[Outcomes, Scores | None]:
    """Return what is predicted for each row of a split, and the same as metrics read it."""
    parts: list[tuple[Tensor, ...]] = []
    kept: list[tuple[Tensor, Tensor]] = []
    with waiting(f"predicting {split}", len(measured.data.splits[split]), "rows") as wait, torch.no_grad():
        for values, targets in outputs(measured, split):
            parts.append(tuple(tensor.cpu() for tensor in portion(measured, values, targets)))
            if measured.task != "reconstruction":
                kept.append((values.cpu(), targets.cpu()))
            wait.advance(len(values))
    measured.model.eval()
    results = Outcomes(measured.task, *(torch.cat(kind) for kind in zip(*parts, strict=True)))
    if not kept:
        return results, None
    return results, scores_of(measured, torch.cat([each for each, _ in kept]), torch.cat([each for _, each in kept]))


def plan_of(run: Finished, measured: Evaluation) -> Plan:
    """Return the length of a run, in steps."""
    free = measured.data.without_label
    return make_plan(run.config, len(measured.data.splits["train"]), 0 if free is None else len(free))


def planned(run: Finished, measured: Evaluation) -> Planned | None:
    """Return the learning rate of a run as it was planned; None if its optimizer has no rate."""
    base = run.config.parts["optimizer"].get("lr")
    if not isinstance(base, int | float) or not math.isfinite(base):
        return None
    plan = plan_of(run, measured)
    own = metric_names.own_maximized(run.config.parts["metric"])
    rises = metric_names.maximize(run.config.monitored("schedule"), own)
    length = {"total_steps": plan.total_steps, "steps_per_epoch": plan.steps_per_epoch}
    schedule = as_schedule(member(run.config, "schedule", maximize=rises, **length))
    return Planned(float(base), schedule.multiplier, plan.total_steps, run.config.loop.max_seconds is None)
