"""What is explained of rows, and how it is written: CSV, pictures, and what was done as JSON."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from trainctl.errors import DataError
from trainctl.finished.features import Features
from trainctl.finished.inputs import Label
from trainctl.report import attribution_plots as plots
from trainctl.report.attribution_plots import Drawn
from trainctl.report.table import harmless
from trainctl.store.runpath import AnyPath
from trainctl.wording import agree, amount

Method = Literal["integrated_gradients", "saliency", "occlusion"]
OFF = 0.05  # gap from which a note names the row
NAMED = 5  # rows in a note


@dataclass(frozen=True)
class Options:
    """How rows are explained.

    Args:
        method: Method of attribution.
        score: Of a class, ``log_odds``, ``logit`` or ``probability``; empty for the usual one.
        class_name: The class that is explained; empty for the one that is predicted.
        target: The target of a regression that is explained; empty for the first.
        baseline: Name of the baseline; empty for the usual one.
        most_steps: Most steps of integrated gradients.
        patch: Side of the squares of an image that occlusion covers [pixels]; None for the usual one.
        drawn: How many rows are drawn.
        ids: Columns of the files that identify rows.
        spreadsheet: Whether names that a spreadsheet would run as a formula get a quote in front.
    """

    method: Method = "integrated_gradients"
    score: str = ""
    class_name: str = ""
    target: str = ""
    baseline: str = ""
    most_steps: int = 1024
    patch: int | None = None
    drawn: int = 6
    ids: tuple[str, ...] = ()
    spreadsheet: bool = False


@dataclass(frozen=True)
class RowSums:
    """What is known of one row besides its attributions.

    Args:
        label: What identifies it.
        predicted: The predicted class or number.
        explained: The class or the target that is explained; empty for a reconstruction.
        score: The number that is explained, at the row.
        base: The same, at the baseline.
        sum: Of the attributions.
        gap: How far the sum is from ``score - base``, as a fraction of it.
        steps: Steps of integrated gradients.
        complete: Whether the sum agrees within 1 %.
    """

    label: Label
    predicted: str
    explained: str
    score: float
    base: float
    sum: float
    gap: float
    steps: int
    complete: bool


@dataclass
class Explained:
    """What was explained.

    Args:
        unit: What the explained number is, in words.
        baseline: What rows are compared with, in words.
        options: How.
        rows: The rows, in order.
        notes: What the user is to know, a line each.
        failed: The errors of files that cannot be read.
        files: How many files there were.
        pictures: Names of the pictures.
        drawn: The rows to draw.
        sizes: Sum over the rows of the sizes of the attributions ``(K,)``.
    """

    unit: str
    baseline: str
    options: Options
    rows: list[RowSums] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: tuple[DataError, ...] = ()
    files: int = 0
    pictures: list[str] = field(default_factory=list)
    drawn: list[Drawn] = field(default_factory=list)
    sizes: Tensor | None = None


def as_csv(lines: Iterable[Iterable[object]], options: Options) -> bytes:
    """Return lines of cells as CSV."""
    text = io.StringIO()
    guard = harmless if options.spreadsheet else str
    csv.writer(text, lineterminator="\n").writerows(map(guard, line) for line in lines)
    return text.getvalue().encode(errors="backslashreplace")


def title(row: RowSums, task: str) -> str:
    """Return what is written above a row that is drawn."""
    place = " ".join(str(value) for name, value in row.label.items() if name in ("file", "row"))
    if task == "reconstruction":
        return f"row {place}: error {row.score:.4g}"
    if task == "regression":
        return f"row {place}: {row.explained} {row.predicted}"
    asked = "" if row.explained == row.predicted else f", explained {row.explained}"
    return f"row {place}: predicted {row.predicted}{asked}"


def incomplete(found: Explained) -> list[str]:
    """Return a note if attributions do not add up, with the rows that are furthest off."""
    open_rows = [row for row in found.rows if not row.complete]
    if found.options.method != "integrated_gradients" or not open_rows:
        return []
    worst = sorted(open_rows, key=lambda row: -row.gap)[:NAMED]
    shown = ", ".join(f"row {row.label['row']} ({row.gap:.1%})" for row in worst)
    first = f"{len(open_rows):,} of {amount(len(found.rows), 'row')} {agree(len(open_rows), 'does', 'do')} not add up to within 1 %"
    advice = "raise steps=, or do not rely on the sizes of their attributions"
    return [f"{first} after {amount(found.options.most_steps, 'step')}: {shown}; {advice}"]


def rows_csv(found: Explained) -> bytes:
    """Return `rows.csv`: what identifies each row, what is explained, and how well the attributions add up."""
    names = list(dict.fromkeys(name for row in found.rows for name in row.label))
    integrated = found.options.method == "integrated_gradients"
    header = [*names, "prediction", "explained", "value", "baseline_value", *(["sum", "gap", "steps"] * integrated)]
    lines = [header]
    for row in found.rows:
        sums = [repr(row.sum), f"{row.gap:.4g}", str(row.steps)] if integrated else []
        cells = [str(row.label.get(name, "")) for name in names]
        lines.append([*cells, row.predicted, row.explained, repr(row.score), repr(row.base), *sums])
    return as_csv(lines, found.options)


def draw(found: Explained, described: Features, about: str, folder: AnyPath) -> None:
    """Draw the first rows, and the mean over all rows; ``about`` is the line below the titles."""
    method = found.options.method.replace("_", " ")
    what = "size of the gradient of" if found.options.method == "saliency" else "attribution to"
    label = f"{what} {found.unit}"
    heading = f"{method[0].upper()}{method[1:]}"
    if found.drawn:
        beside = "" if found.options.method == "saliency" else f", compared with {found.baseline}"
        plots.rows(found.drawn, described.kind, label, f"{heading}{beside}", about, folder / "rows.png")
        found.pictures.append("rows.png")
    if len(found.rows) < 2 or found.sizes is None or described.kind == "text":
        return
    means = (found.sizes / len(found.rows)).double()
    title, mean_label = f"Mean of {amount(len(found.rows), 'row')}", f"mean size of the {label}"
    if described.kind == "image":
        plots.mean_image(means.reshape(described.shape[1:]).numpy(), mean_label, title, about, folder / "mean.png")
    else:
        columns = described.columns
        totals = means.reshape(-1, len(columns)).sum(0).tolist()  # over the steps of a series
        plots.columns(columns, totals, mean_label, title, about, folder / "mean.png")
    found.pictures.append("mean.png")


def as_json(found: Explained) -> dict[str, Any]:
    """Return what `explain.json` contains of what was done."""
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(found.options).items()}
    integrated = found.options.method == "integrated_gradients"
    return {
        "options": options,
        "explained": found.unit,
        "baseline": found.baseline,
        "rows": len(found.rows),
        "incomplete": sum(not row.complete for row in found.rows) if integrated else None,
        "notes": found.notes,
    }
