"""Evaluate a run's weights on a split of its own data, or of other data of the same kind."""

import math
from dataclasses import dataclass
from typing import Any

from trainctl.components.compress import int8
from trainctl.data.rows import SplitName
from trainctl.data.schema import Schema
from trainctl.errors import CheckpointError, ConfigError
from trainctl.fileformat import fingerprints
from trainctl.fileformat.waiting import waiting
from trainctl.finished.open import Finished
from trainctl.run.assemble import assemble_evaluation
from trainctl.run.sums import Sums
from trainctl.store import restore
from trainctl.train import evaluation


@dataclass(frozen=True)
class ClassScores:
    """How well the rows of one class are distinguished from the others.

    Args:
        name: Name of the class.
        rows: Number of rows of the class.
        precision: Fraction of the rows predicted as this class that belong to it; None if no row is predicted as it.
        recall: Fraction of its rows that are predicted as this class; None if it has no rows.
        f1: Harmonic mean of precision and recall; None if the class has no rows and no row is predicted as it.
    """

    name: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class TargetScores:
    """The metrics of one of several targets of a regression, in its unit.

    Args:
        name: Name of the target.
        mae: Mean absolute error.
        rmse: Root mean squared error.
        r2: Coefficient of determination; None if it is undefined, because there is only one row.
    """

    name: str
    mae: float
    rmse: float
    r2: float | None


@dataclass(frozen=True)
class Scores:
    """The results of an evaluation.

    Args:
        step: Number of optimizer steps that the weights were trained for.
        rows: Number of rows of the split.
        metrics: The metrics, by ``split/name``.
        classes: The scores of each class, in the order of the classes; empty unless the task is a classification.
        targets: The metrics of each target, in their order; empty unless a regression has several.
        own_data: Whether the data is the data that the run was trained with.
        notes: What is odd about other data, and rows that are not measured, a line each.
    """

    step: int
    rows: int
    metrics: dict[str, float]
    classes: tuple[ClassScores, ...]
    targets: tuple[TargetScores, ...]
    own_data: bool
    notes: tuple[str, ...] = ()


def evaluate(run: Finished, split: SplitName, which: str) -> Scores:
    """Evaluate a run's weights on a split.

    Args:
        run: The run; for other data, with another data set in its configuration.
        split: ``train``, ``val``, ``test``, or ``all`` for every row.
        which: The weights: ``best`` or ``last``.

    Raises:
        DataError: If the data does not match the schema that the run was trained with.
        ConfigError: If the split has no rows, or an override does not belong to the run.
        CheckpointError: If configuration and weights do not match.
    """
    weights = run.weights(which)
    try:
        measured = assemble_evaluation(run.config, run.schema, weights.fitted, whole=split == "all")
    except ConfigError as error:
        if run.overrides:
            raise
        raise CheckpointError(*error.within(f"{run.directory / 'config.yaml'}: ")) from error
    restore.load_weights(measured.model, weights.model, run.directory)
    int8.fix(measured.model)
    rows = len(measured.data.splits[split])
    if not rows:
        raise ConfigError(f"split={split}: the data has no such rows")
    classified = measured.task == "classification"
    with waiting(f"evaluating {split}", rows * (1 + classified), "rows") as wait:

        def count() -> None:
            wait.advance(measured.batch_size)

        found = evaluation.measure(measured, split, count)
        counts = evaluation.confusion(measured, split, count) if classified else []
    metrics = found.metrics(split)
    names = measured.data.schema.class_names
    classes = tuple(class_scores(name, index, counts) for index, name in enumerate(names)) if counts else ()
    own_data = not fingerprints.differ([measured.data.schema.fingerprint, run.schema.fingerprint])
    targets = target_scores(found.sums, measured.data.schema)
    return Scores(weights.step, rows, metrics, classes, targets, own_data, measured.data.notes)


def target_scores(sums: Sums, schema: Schema) -> tuple[TargetScores, ...]:
    """Return the metrics of each target of a regression that has several."""
    if not sums.detailed:
        return ()
    names = schema.target_names or tuple(map(str, range(schema.outputs)))
    return tuple(
        TargetScores(name, one["mae"], one["rmse"], defined(one["r2"]))
        for name, one in zip(names, sums.by_column(), strict=True)
    )


def defined(value: float) -> float | None:
    """Return a metric, or None where it is not a finite number, which JSON does not have."""
    return value if math.isfinite(value) else None


def class_scores(name: str, index: int, counts: list[list[int]]) -> ClassScores:
    """Return the scores of one class.

    Args:
        name: Name of the class.
        index: Index of the class in the counts.
        counts: Confusion matrix: one row per true class, one column per predicted class.
    """
    hits, rows, predicted = counts[index][index], sum(counts[index]), sum(row[index] for row in counts)
    return ClassScores(
        name=name,
        rows=rows,
        precision=hits / predicted if predicted else None,
        recall=hits / rows if rows else None,
        f1=2 * hits / (rows + predicted) if rows + predicted else None,
    )


def as_json(scores: Scores) -> dict[str, Any]:
    """Convert scores to plain values for JSON."""
    classes = [
        {
            "class": scored.name,
            "rows": scored.rows,
            "precision": scored.precision,
            "recall": scored.recall,
            "f1": scored.f1,
        }
        for scored in scores.classes
    ]
    metrics = {name: defined(value) for name, value in scores.metrics.items()}
    targets = [{"target": one.name, "mae": one.mae, "rmse": one.rmse, "r2": one.r2} for one in scores.targets]
    return {"step": scores.step, "rows": scores.rows, "metrics": metrics, "classes": classes, "targets": targets}
