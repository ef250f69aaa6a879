"""Draw a run's plots as PNG files. matplotlib is imported inside the functions (1.3 s), and pyplot never."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.report import phrases
from trainctl.report.figure import figure as _figure
from trainctl.report.figure import short as _short
from trainctl.report.figure import style as _style
from trainctl.report.figure import write as _write
from trainctl.run import metric_names
from trainctl.run.reporter import Row
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTED = 20  # most classes for which a confusion matrix shows its counts
SPLITS = {"train": ("#4c72b0", "training"), "val": ("#dd8452", "validation"), "test": ("#55a868", "test")}
BEST = "#c44e52"
LABELS = {  # metric: (title, axis label)
    "loss": ("Loss", "loss"),
    "accuracy": ("Accuracy", "fraction of samples predicted correctly"),
    "mae": ("Mean absolute error", "MAE [units of the target]"),
    "rmse": ("Root mean square error", "RMSE [units of the target]"),
    "r2": ("Coefficient of determination", "R²"),
}


def curves(rows: Sequence[Row], directory: AnyPath, monitor: str, best_step: int | None) -> list[AnyPath]:
    """Draw every metric, and the learning rate, over the epochs.

    Args:
        rows: The run's evaluations, in order.
        directory: The run's directory; the files are ``plots/<metric>.png`` in it.
        monitor: The metric that determined the best step.
        best_step: That step, marked in every plot; None if there is none.

    Returns:
        The files written.

    Raises:
        StorageError: If a file cannot be written.
    """
    names = dict.fromkeys(name.rpartition("/")[2] for row in rows for name in phrases.metrics(row))
    best = next((row for row in reversed(rows) if best_step is not None and row.get("step") == best_step), None)
    files: list[AnyPath] = []
    with _style():
        for metric in [*names, "learning_rate"]:
            figure, axes = _figure(7.0, 4.2)
            if metric == "learning_rate":
                _learning_rate(axes, rows)
            else:
                _metric(axes, rows, metric)
            _epochs(axes, rows)
            _mark_best(axes, best, monitor if monitor.endswith(f"/{metric}") else None)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2, columnspacing=1.4)
            files.append(_write(figure, directory / "plots" / f"{metric}.png"))
    return files


def range_test(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float, path: Path
) -> None:
    """Draw the loss over the learning rate.

    Args:
        rates: The learning rates, in increasing order.
        losses: The loss at each rate.
        smoothed: The smoothed loss at each rate.
        suggestion: The rate to mark.
        path: The PNG file.

    Raises:
        StorageError: If it cannot be written.
    """
    with _style():
        figure, axes = _figure(7.0, 4.2)
        axes.plot(rates, losses, color=SPLITS["train"][0], alpha=0.35, linewidth=1.0, label="each step")
        axes.plot(rates, smoothed, color=SPLITS["train"][0], label="smoothed")
        axes.axvline(suggestion, color=BEST, linestyle=(0, (4, 3)), linewidth=1.0, label=f"suggested: {suggestion:g}")
        axes.set_xscale("log")
        _scale(axes, list(smoothed))
        low, high = min(smoothed), max(smoothed[: smoothed.index(min(smoothed)) + 1])  # the fall, not the divergence
        if axes.get_yscale() == "linear" and high > low:
            axes.set_ylim(low - 0.1 * (high - low), high + 0.4 * (high - low))
        axes.set_title("Range test")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2, columnspacing=1.4)
        _write(figure, path)


def _metric(axes: "Axes", rows: Sequence[Row], metric: str) -> None:
    """Draw one metric of every split that has it."""
    shown: list[float] = []
    for split, (colour, label) in SPLITS.items():
        values = [_finite(row.get(f"{split}/{metric}")) for row in rows]
        if any(math.isfinite(value) for value in values):
            axes.plot([_finite(row.get("epoch")) for row in rows], values, color=colour, label=label, **_points(values))
            shown += values
    title, label = LABELS.get(metric, (metric, metric))
    axes.set_title(title, parse_math=False)
    axes.set_ylabel(label, parse_math=False)
    _scale(axes, shown)
    if metric_names.maximize(metric) and shown:
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.02))  # nothing is better than 1


def _learning_rate(axes: "Axes", rows: Sequence[Row]) -> None:
    """Draw the learning rate of the step before each evaluation."""
    rates = [_finite(row.get("lr")) for row in rows]
    axes.plot([_finite(row.get("epoch")) for row in rows], rates, color=SPLITS["train"][0], **_points(rates))
    axes.set_title("Learning rate")
    axes.set_ylabel("learning rate")
    _scale(axes, rates)
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)


def _points(values: Sequence[float]) -> dict[str, Any]:
    """Return marker settings: every value has one if there are few, else only a value between two gaps."""
    finite = [math.isfinite(value) for value in values]
    isolated = [i for i, ok in enumerate(finite) if ok and not any(finite[max(0, i - 1) : i] + finite[i + 1 : i + 2])]
    return {"marker": "o", "markersize": 4, "markevery": None if len(values) <= 30 else isolated}


def _finite(value: float | None) -> float:
    """Return a value that can be drawn; NaN, which leaves a gap in the line, if it is missing or infinite."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def _scale(axes: "Axes", values: Sequence[float]) -> None:
    """Choose a log scale for values that span more than two decades; write a note if there is nothing to draw."""
    if phrases.is_wide(values):
        axes.set_yscale("log")
    if not any(math.isfinite(value) for value in values):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center", color="#888888")


def _epochs(axes: "Axes", rows: Sequence[Row]) -> None:
    """Label the time axis with epochs; with whole ones only if there are several."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    if rows and _finite(rows[-1].get("epoch")) >= 5:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    elif len(rows) == 1:
        axes.set_xticks([_finite(rows[0].get("epoch"))])


def _mark_best(axes: "Axes", best: Row | None, monitor: str | None) -> None:
    """Mark the best evaluation with a line, and the monitored metric with a star."""
    if best is None:
        return
    epoch = _finite(best.get("epoch"))
    label = f"best: epoch {phrases.epochs(epoch)}"
    if monitor is not None and math.isfinite(value := _finite(best.get(monitor))):
        star: dict[str, Any] = {"color": BEST, "markersize": 13, "markeredgecolor": "white", "zorder": 5}
        axes.plot([epoch], [value], "*", label=f"{label}, {phrases.number(value)}", **star)
        label = "_hidden"  # the star is the only legend entry
    axes.axvline(epoch, color=BEST, linestyle=(0, (4, 3)), linewidth=1.0, label=label, zorder=1)


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str], path: AnyPath) -> None:
    """Draw a confusion matrix and the recall of each class.

    Args:
        matrix: The number of samples of each true class (first index) by predicted class (second index).
        class_names: The name of each class.
        path: The PNG file.

    Raises:
        StorageError: If it cannot be written.
    """
    import numpy as np

    counts = np.asarray(matrix, dtype=np.int64)
    rows = counts.sum(1)
    fractions = counts / np.maximum(rows, 1)[:, None]
    recalls = np.where(rows > 0, fractions.diagonal(), np.nan)
    names = [_short(name) for name in class_names]
    right, total, longest = int(counts.trace()), int(rows.sum()), max(map(len, names), default=0)
    cell = max(0.42 if len(names) <= COUNTED else 0.09, 2.4 / max(1, len(names)))  # inches
    side = min(10.0, cell * len(names))
    slanted = longest * 0.1 > side / max(1, len(names))  # a character of 10 points is 0.1 inches wide
    with _style():
        figure, axes = _figure(side + 3.4 + 0.08 * longest, side + 1.5 + 0.07 * longest * slanted, columns=(side, 1.1))
        image = axes[0].imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        _name_classes(axes[0], names, slanted)
        _recalls(axes[1], recalls.tolist())
        if len(names) <= COUNTED:
            _write_counts(axes[0], counts, fractions)
        else:
            bar = figure.colorbar(image, ax=axes[1], fraction=0.15, label="fraction of the true class")
            bar.outline.set_visible(False)
        axes[0].set_title("colour: fraction of the true class", fontsize=9, fontweight="normal", color="#666666")
        accuracy = 100 * right / max(total, 1)
        figure.suptitle(f"Confusion matrix: {right:,} of {total:,} correct ({accuracy:.1f} %)", weight="bold")
        _write(figure, path)


def _write_counts(axes: "Axes", counts: Any, fractions: Any) -> None:
    """Write the count into each cell, white on dark; zeros are shown only on the diagonal."""
    size = 10 if counts.max() < 1000 and len(counts) <= 12 else 7.5
    for (true, predicted), number in _cells(counts):
        if number or true == predicted:
            colour = "white" if fractions[true, predicted] > 0.55 else "#333333"
            axes.text(predicted, true, f"{number}", ha="center", va="center", color=colour, fontsize=size)


def _cells(counts: Any) -> Iterator[tuple[tuple[int, int], int]]:
    for true, row in enumerate(counts.tolist()):
        for predicted, number in enumerate(row):
            yield (true, predicted), number


def _name_classes(axes: "Axes", names: Sequence[str], slanted: bool) -> None:
    """Label both axes with at most 40 class names."""
    every = max(1, math.ceil(len(names) / 40))
    ticks, shown = range(0, len(names), every), list(names[::every])
    size = 10 if len(names) <= COUNTED else 7
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(ticks, shown, fontsize=size, parse_math=False, **turned)
    axes.set_yticks(ticks, shown, fontsize=size, parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0 if every == 1 else 3)


def _recalls(axes: "Axes", recalls: Sequence[float]) -> None:
    """Draw the recall of each class as a bar next to its row of the matrix."""
    widths = [0.0 if math.isnan(recall) else recall for recall in recalls]
    axes.barh(range(len(recalls)), widths, height=0.75, color=SPLITS["train"][0])
    axes.set_title("recall", fontsize=9, fontweight="normal", color="#666666")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(recalls) - 0.5, -0.5)
    axes.set_xticks([0, 1], ["0 %", "100 %"])
    axes.set_yticks([])
    axes.grid(False)
    for row, recall in enumerate(recalls if len(recalls) <= COUNTED else ()):
        text = "no samples" if math.isnan(recall) else f"{100 * recall:.1f} %"
        axes.text(1.08, row, text, va="center", fontsize=9, clip_on=False)
