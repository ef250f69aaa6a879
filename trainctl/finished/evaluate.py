"""A finished run's weights, measured on a split of its data or of other data of the same kind."""

from dataclasses import dataclass
from typing import Any

from trainctl.data.rows import SplitName
from trainctl.errors import CheckpointError, ConfigError
from trainctl.finished.open import Finished
from trainctl.run.assemble import assemble_evaluation
from trainctl.store import restore
from trainctl.train import evaluation


@dataclass(frozen=True)
class ClassScores:
    """How well the rows of one class are distinguished from the others.

    Args:
        name: Of the class.
        rows: Of the class.
        precision: Share of the rows predicted as this class that are of it; None if there are none.
        recall: Share of its rows that are predicted as it; None if there are none.
        f1: Harmonic mean of the two; None if it has no rows and none are predicted as it.
    """

    name: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Scores:
    """What was measured.

    Args:
        step: Optimizer steps that the weights were trained for.
        rows: Of the split.
        metrics: By ``split/name``.
        classes: In their order; empty unless the task is a classification.
        own_data: Whether the data are those that the run was trained with.
    """

    step: int
    rows: int
    metrics: dict[str, float]
    classes: tuple[ClassScores, ...]
    own_data: bool


def evaluate(run: Finished, split: SplitName, which: str) -> Scores:
    """Measure a run's weights on a split.

    Args:
        run: With another data set in its configuration, if that is to be measured.
        split: ``train``, ``val``, ``test``, or ``all`` for every row.
        which: ``best`` or ``last`` weights.

    Raises:
        DataError: If the data are not of the kind that the run was trained with.
        ConfigError: If the split has no rows, or an override does not belong to the run.
        CheckpointError: If configuration and weights do not belong together.
    """
    weights = run.weights(which)
    try:
        measured = assemble_evaluation(run.config, run.schema, weights.fitted, whole=split == "all")
    except ConfigError as error:
        if run.overrides:
            raise
        raise CheckpointError(f"{run.directory / 'config.yaml'}: {error}") from error
    restore.load_weights(measured.model, weights.model, run.directory)
    rows = len(measured.data.splits[split])
    if not rows:
        raise ConfigError(f"split={split}: the data has no such rows")
    metrics = evaluation.evaluate(measured, split)
    counts = evaluation.confusion(measured, split) if measured.task == "classification" else []
    names = measured.data.schema.class_names
    classes = tuple(class_scores(name, index, counts) for index, name in enumerate(names)) if counts else ()
    return Scores(
        weights.step, rows, metrics, classes, own_data=measured.data.schema.fingerprint == run.schema.fingerprint
    )


def class_scores(name: str, index: int, counts: list[list[int]]) -> ClassScores:
    """Return the scores of one class.

    Args:
        name: Of the class.
        index: Its place in the counts.
        counts: A row for each true class, a column for each predicted one.
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
    """Return plain values for JSON."""
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
    return {"step": scores.step, "rows": scores.rows, "metrics": scores.metrics, "classes": classes}
