"""Charts of a run's evaluations: each metric over the epochs, and the learning rate over all steps. Imports no torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainctl.report import phrases
from trainctl.report.chart import GREY, TEST, TRAIN, VAL, Chart, Mark, Series, thinned, wide
from trainctl.run import metric_names

if TYPE_CHECKING:
    from trainctl.run.run import Run

SPLITS = {"train": ("training", TRAIN), "val": ("validation", VAL), "test": ("test", TEST)}
LABELS = {  # metric: (title, axis label)
    "loss": ("Loss", "loss"),
    "accuracy": ("Accuracy", "fraction predicted correctly"),
    "mae": ("Mean absolute error", "MAE"),
    "rmse": ("Root mean square error", "RMSE"),
    "r2": ("R²", "coefficient of determination R²"),
}
TITLES = {  # of further metrics, which may be followed by a class or an average
    "auc": "ROC AUC", "average_precision": "Average precision", "balanced_accuracy": "Balanced accuracy",
    "brier": "Brier score", "calibration_error": "Calibration error", "f1": "F1", "kappa": "Cohen's kappa",
    "log_loss": "Log loss", "mape": "Mean absolute percentage error", "matthews": "Matthews correlation",
    "median_error": "Median absolute error", "precision": "Precision", "recall": "Recall",
    "spearman": "Spearman correlation", "top": "Accuracy of the top classes",
}  # fmt: skip
MOST_STEPS = 1000  # points of the learning rate
MOST_ROWS = 5000  # evaluations that are drawn
TIGHT = 1e-9  # relative difference of learning rates that are equal
Row = Mapping[str, float]  # as in trainctl.run.reporter, which imports torch


@dataclass(frozen=True)
class Planned:
    """The learning rate as it was planned.

    Args:
        base: Of the optimizer.
        multiplier: ``step -> multiplier``, of the schedule.
        total: Number of steps of the whole run.
        by_step: Whether the position on the schedule is the step's number; with loop.max_time it depends on the clock.
    """

    base: float
    multiplier: Callable[[int], float]
    total: int
    by_step: bool = True


def metrics(rows: Sequence[Row], monitor: str, best_step: int | None, about: str) -> list[Chart]:
    """Return a chart for each metric, with a line for each split.

    Args:
        rows: The run's evaluations, in order.
        monitor: The metric that determined the best step.
        best_step: That step, marked in every chart; None if there is none.
        about: Run and data, for the line below the title; the splits are added.
    """
    names = dict.fromkeys(name.rpartition("/")[2] for row in rows for name in phrases.metrics(row))
    best = next((row for row in reversed(rows) if best_step is not None and row.get("step") == best_step), None)
    return [_metric(rows, name, monitor, best, about) for name in names]


def _metric(rows: Sequence[Row], metric: str, monitor: str, best: Row | None, about: str) -> Chart:
    drawn, splits = [], []
    for split, (label, colour) in SPLITS.items():
        values = [finite(row.get(f"{split}/{metric}")) for row in rows]
        if any(map(math.isfinite, values)):
            line = Series(label, [finite(row.get("epoch")) for row in rows], values, colour=colour)
            drawn.append(thinned(line, MOST_ROWS))
            splits.append(label)
    title, label = titles(metric)
    shown = [y for series in drawn for _, y in series.points]
    log = wide(shown)
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.05
    rises = metric_names.maximize(metric)
    return Chart(
        name=metric, title=title, about=joined(about, *([" and ".join(splits)] if splits else [])),
        x_label="epoch", y_label=label, series=tuple(drawn), mark=_best(best, monitor, metric), log_y=log,
        top=min(high + margin, 1.02) if rises and shown and high <= 1 else None,  # nothing is better than 1
        x_word="epoch",
    )  # fmt: skip


def titles(metric: str) -> tuple[str, str]:
    """Return the title of a metric's chart, and the label of its axis.

    >>> titles("mae"), titles("f1_weighted"), titles("mine")
    (('Mean absolute error', 'MAE'), ('F1: weighted', 'F1: weighted'), ('mine', 'mine'))
    """
    if metric in LABELS:
        return LABELS[metric]
    stem = next((name for name in sorted(TITLES, key=len, reverse=True) if f"{metric}_".startswith(f"{name}_")), None)
    if stem is None:
        return metric, metric
    rest = metric[len(stem) + 1 :]
    title = f"{TITLES[stem]}: {rest}" if rest else TITLES[stem]
    return title, title


def _best(best: Row | None, monitor: str, metric: str) -> Mark | None:
    """Return the mark of the best evaluation; only the monitored metric has a star."""
    if best is None:
        return None
    epoch = finite(best.get("epoch"))
    label = f"best by {monitor}: epoch {phrases.epochs(epoch)}"
    if not monitor.endswith(f"/{metric}") or not math.isfinite(value := finite(best.get(monitor))):
        return Mark(epoch, None, label)
    return Mark(epoch, value, f"{label}, {phrases.number(value)}")


def learning_rate(rows: Sequence[Row], planned: Planned | None, about: str) -> Chart | None:
    """Return the learning rate over the steps; None if it is constant, which needs no picture.

    What is planned for each step is multiplied by what was left of it at the evaluations: ``plateau`` and rewinds
    change the rate there.

    Args:
        rows: The run's evaluations, each with the rate ``lr`` of the step before it.
        planned: The rates of all steps; None if only those at the evaluations are known.
        about: Run and data.
    """
    recorded = [(float(row["step"]), finite(row.get("lr"))) for row in rows if math.isfinite(finite(row.get("lr")))]
    if planned is None or not planned.by_step:
        line, rest = Series("at the evaluations", *_columns(recorded)), None
    else:
        line, rest = _taken(recorded, planned), _remaining(recorded, planned)
    values = [value for series in (line, rest) if series for value in series.y]
    if not values or max(values) - min(values) <= TIGHT * max(map(abs, values)):
        return None
    positive = [value for value in values if value > 0]
    drawn = tuple(thinned(series, MOST_STEPS) for series in (line, rest) if series and len(series.x))
    log = wide(positive) and len(positive) == len(values) and _mostly_small(positive)
    return Chart(
        name="learning_rate", title="Learning rate", about=about, x_label="step", y_label="learning rate",
        series=drawn if rest else (Series("", line.x, line.y, line.kind, line.colour),), log_y=log,
        bottom=None if log else 0.0, x_word="step",
    )  # fmt: skip


def _mostly_small(values: Sequence[float]) -> bool:
    """Return whether most rates would lie on the axis if it was linear."""
    return sorted(values)[len(values) // 2] < 0.05 * max(values)


def _taken(recorded: Sequence[tuple[float, float]], planned: Planned) -> Series:
    """Return the rates of the steps that were taken, and of those to come if no evaluation changed the rate."""
    steps = _spread(0, int(recorded[-1][0]) if recorded else planned.total)
    places = [step for step, _ in recorded]
    factors = [_factor(step, rate, planned) for step, rate in recorded]
    values, interval = [], 0
    for step in steps:
        while interval < len(places) - 1 and step >= places[interval]:
            interval += 1
        values.append(planned.base * planned.multiplier(step) * (factors[interval] if factors else 1.0))
    return Series("taken", steps, values)


def _remaining(recorded: Sequence[tuple[float, float]], planned: Planned) -> Series | None:
    """Return the rates of the planned steps that were not taken; None if there are none."""
    first = int(recorded[-1][0]) if recorded else planned.total
    if planned.total - first < max(2, planned.total // 100):
        return None
    factor = _factor(*recorded[-1], planned) if recorded else 1.0
    steps = _spread(first, planned.total)
    return Series(
        "planned", steps, [planned.base * planned.multiplier(step) * factor for step in steps], "dashed", GREY
    )


def _factor(step: float, rate: float, planned: Planned) -> float:
    """Return what was left of the planned rate in the step before an evaluation."""
    expected = planned.base * planned.multiplier(max(0, int(step) - 1))
    return rate / expected if expected else 1.0


def _spread(first: int, end: int) -> list[int]:
    """Return steps from the first to the one before the end, evenly spaced, both included."""
    last = max(first, end - 1)
    if last - first < MOST_STEPS:
        return list(range(first, last + 1))
    return sorted({round(first + (last - first) * place / (MOST_STEPS - 1)) for place in range(MOST_STEPS)})


def over_each_other(runs: Mapping[str, Sequence[Row]], about: str) -> list[Chart]:
    """Return a chart for each metric of validation, with a line for each run; with none, of the training rows.

    Args:
        runs: The evaluations of each run, by its name.
        about: What they have in common, for the line below the title.
    """
    names = dict.fromkeys(name for rows in runs.values() for row in rows for name in phrases.metrics(row))
    split = "val" if any(name.startswith("val/") for name in names) else "train"
    return [_several(runs, name, about) for name in names if name.startswith(f"{split}/")]


def _several(runs: Mapping[str, Sequence[Row]], name: str, about: str) -> Chart:
    drawn, metric = [], name.rpartition("/")[2]
    for place, (run, rows) in enumerate(runs.items()):
        places, values = [finite(row.get("epoch")) for row in rows], [finite(row.get(name)) for row in rows]
        if any(map(math.isfinite, values)):
            drawn.append(thinned(Series(run, places, values, colour=place), MOST_ROWS))
    title, label = titles(metric)
    shown = [y for series in drawn for _, y in series.points]
    split = SPLITS[name.partition("/")[0]][0]
    return Chart(
        name=metric, title=title, about=joined(about, split), x_label="epoch", y_label=label, series=tuple(drawn),
        log_y=wide(shown), x_word="epoch",
        top=1.02 if metric_names.maximize(name) and shown and max(shown) <= 1 else None,
    )  # fmt: skip


def joined(*parts: str) -> str:
    """Return the parts of what a picture is about, in one line.

    >>> joined("my-run", "", "digits")
    'my-run · digits'
    """
    return " · ".join(part for part in parts if part)


def finite(value: float | None) -> float:
    """Return a value that can be drawn; NaN, which leaves a gap in the line, if it is missing or infinite."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def planned(run: "Run") -> Planned:
    """Return the learning rate of a run as it was planned."""
    base: float = run.optimizer.param_groups[0]["initial_lr"]
    by_step = run.config.loop.max_seconds is None
    return Planned(base, run.schedule.multiplier, run.plan.total_steps, by_step)
