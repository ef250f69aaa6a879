"""Draw a run's plots as PNG files. matplotlib is imported inside the functions (1.3 s), and pyplot never."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.report import chart_plot, curve_charts, phrases
from trainctl.report.curve_charts import Planned, Row
from trainctl.report.figure import figure as _figure
from trainctl.report.figure import headline as _headline
from trainctl.report.figure import legend as _legend
from trainctl.report.figure import short as _short
from trainctl.report.figure import style as _style
from trainctl.report.figure import write as _write
from trainctl.store.runpath import AnyPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COUNTED = 20  # most classes for which a confusion matrix shows its counts
BLUE, BEST = "#4c72b0", "#c44e52"


def curves(
    rows: Sequence[Row],
    directory: AnyPath,
    monitor: str,
    best_step: int | None,
    planned: Planned | None = None,
    about: str = "",
) -> list[AnyPath]:
    """Draw every metric over the epochs, and the learning rate over the steps unless it is constant.

    Args:
        rows: The run's evaluations, in order.
        directory: The run's directory; the files are ``plots/<metric>.png`` in it.
        monitor: The metric that determined the best step.
        best_step: That step, marked in every plot; None if there is none.
        planned: The learning rates of all steps; None if only those at the evaluations are known.
        about: Run and data, for the line below each title.

    Returns:
        The files written.

    Raises:
        StorageError: If a file cannot be written.
    """
    charts = curve_charts.metrics(rows, monitor, best_step, about)
    rate = curve_charts.learning_rate(rows, planned, about)
    drawn = [*charts, *([rate] if rate else [])]
    return [chart_plot.draw(chart, directory / "plots" / f"{chart.name}.png") for chart in drawn]


def range_test(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float,
    path: Path,
    about: str = "",
) -> None:
    """Draw the loss over the learning rate.

    Args:
        rates: The learning rates, in increasing order.
        losses: The loss at each rate.
        smoothed: The smoothed loss at each rate.
        suggestion: The rate to mark.
        path: The PNG file.
        about: Model and data, for the line below the title.

    Raises:
        StorageError: If it cannot be written.
    """
    with _style():
        figure, axes = _figure(7.0, 4.2)
        axes.plot(rates, losses, color=BLUE, alpha=0.35, linewidth=1.0, label="each step")
        axes.plot(rates, smoothed, color=BLUE, label="smoothed")
        axes.axvline(suggestion, color=BEST, linestyle=(0, (4, 3)), linewidth=1.0, label=f"suggested: {suggestion:g}")
        axes.set_xscale("log")
        _scale(axes, list(smoothed))
        low, high = min(smoothed), max(smoothed[: smoothed.index(min(smoothed)) + 1])  # the fall, not the divergence
        if axes.get_yscale() == "linear" and high > low:
            axes.set_ylim(low - 0.1 * (high - low), high + 0.4 * (high - low))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        _headline(figure, "Range test", about)
        _legend(figure, [axes])
        _write(figure, path)


def _scale(axes: "Axes", values: Sequence[float]) -> None:
    """Choose a log scale for values that span more than two decades; write a note if there is nothing to draw."""
    if phrases.is_wide(values):
        axes.set_yscale("log")
    if not any(math.isfinite(value) for value in values):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center", color="#888888")


def confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str], path: AnyPath, about: str = "") -> None:
    """Draw a confusion matrix and the recall of each class.

    Args:
        matrix: The number of samples of each true class (first index) by predicted class (second index).
        class_names: The name of each class.
        path: The PNG file.
        about: Run, data and split, for the line below the title.

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
        _headline(figure, f"Confusion matrix: {right:,} of {total:,} correct ({accuracy:.1f} %)", about)
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
    axes.barh(range(len(recalls)), widths, height=0.75, color=BLUE)
    axes.set_title("recall", fontsize=9, fontweight="normal", color="#666666")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(recalls) - 0.5, -0.5)
    axes.set_xticks([0, 1], ["0 %", "100 %"])
    axes.set_yticks([])
    axes.grid(False)
    for row, recall in enumerate(recalls if len(recalls) <= COUNTED else ()):
        text = "no samples" if math.isnan(recall) else f"{100 * recall:.1f} %"
        axes.text(1.08, row, text, va="center", fontsize=9, clip_on=False)
