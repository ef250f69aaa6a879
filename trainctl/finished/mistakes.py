"""The rows of a run with the worst mistakes, as a CSV and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch
from torch import Tensor

from trainctl.data.rows import Data, SplitName
from trainctl.data.schema import Schema
from trainctl.data.shown import excerpt
from trainctl.finished.features import Features
from trainctl.finished.outcomes import Outcomes
from trainctl.finished.overview import Overview
from trainctl.report import mistake_plots as plots
from trainctl.report.picture import picture
from trainctl.run.run import Evaluation
from trainctl.wording import amount

LONGEST_TEXT = 70  # characters of a text beside its bar
TITLES = {
    "classification": "Worst mistakes",
    "regression": "Largest errors",
    "reconstruction": "Rows with the largest error of the reconstruction",
}


@dataclass(frozen=True)
class Places:
    """What identifies the rows of a split: their numbers, and their lines in a file, or the file of each."""

    lines: Tensor | None
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Data, split: SplitName) -> "Places":
        """Return those of a split."""
        return cls(data.lines.get(split), data.files.get(split, ()))

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return ["row", *(["line"] if self.lines is not None else []), *(["file"] if self.files else [])]

    def cells(self, row: int) -> list[object]:
        """Return the cells of a row."""
        line = [] if self.lines is None else [int(self.lines[row])]
        return [row, *line, *([self.files[row]] if self.files else [])]

    def label(self, row: int) -> str:
        """Return what a row is called in a picture: an image by the name of its file, whose class is shown as well."""
        if self.files:
            return PurePosixPath(self.files[row]).name
        return f"row {row}" if self.lines is None else f"line {int(self.lines[row])}"


def report(measured: Evaluation, described: Features, results: Outcomes, found: Overview, shown: int) -> None:
    """Write all mistakes to `mistakes.csv`, the worst first, and draw the first of them.

    Of numbers, every row is a mistake, larger or smaller. Without any mistake, the least certain rows are drawn.

    Args:
        measured: The model and its data.
        described: The features of the rows.
        results: What is predicted for each row.
        found: Receives what was found.
        shown: How many are drawn.

    Raises:
        StorageError: If a file cannot be written.
    """
    worst, places = results.worst(), Places.of(measured.data, found.split)
    wrong, title = int(results.wrong.sum()), TITLES[results.task]
    if results.task == "classification":
        found.lines.append(f"mistakes: {wrong:,} of {amount(found.rows, 'row')} ({wrong / max(1, found.rows):.1%})")
        found.numbers["mistakes"] = wrong
        title = title if wrong else "Least certain rows (there are no mistakes)"
    header, cells = _table(results, measured.data.schema)
    lines = [[*places.cells(row), *cells(row)] for row in (worst.tolist() if wrong else [])]
    found.write_csv("mistakes.csv", [*places.names, *header], lines)
    draw(measured, described, results, worst[:shown], places, title, found)


class _Cells:
    """The cells of a row in `mistakes.csv`."""

    def __init__(self, results: Outcomes, names: Sequence[str]) -> None:
        self.results, self.names = results, names

    def __call__(self, row: int) -> list[object]:
        """Return them."""
        results = self.results
        if results.task == "classification":
            true, predicted = (self.names[int(kind[row])] for kind in (results.true, results.predicted))
            return [true, predicted, float(results.confidence[row]), float(results.of_true[row])]
        if results.task == "regression":
            return [*results.true[row].tolist(), *results.predicted[row].tolist()]
        return [float(results.error[row])]


def _table(results: Outcomes, schema: Schema) -> tuple[list[str], _Cells]:
    """Return the header of `mistakes.csv` after what identifies a row, and what returns the cells below it."""
    if results.task == "classification":
        return ["true", "predicted", "p_predicted", "p_true"], _Cells(results, schema.class_names)
    targets = schema.target_names or tuple(map(str, range(schema.outputs)))
    header = [*(f"true_{name}" for name in targets), *(f"predicted_{name}" for name in targets)]
    return header if results.task == "regression" else ["rmse"], _Cells(results, ())


def draw(
    measured: Evaluation,
    described: Features,
    results: Outcomes,
    rows: Tensor,
    places: Places,
    title: str,
    found: Overview,
) -> None:
    """Draw images as such, and other rows as bars or lines."""
    stored, _ = measured.data.splits[found.split].gather(rows.to(measured.device))
    path, schema, chosen = found.picture("mistakes.png"), measured.data.schema, rows.tolist()
    if described.kind == "image":
        again = reconstructed(measured, stored) if results.task == "reconstruction" else None
        beside = None if again is None else [picture(row) for row in again]
        captions = [caption(results, row, schema.class_names) for row in chosen]
        plots.pictures([picture(row) for row in stored], captions, title, path, beside, found.about)
        return
    labels = [places.label(row) for row in chosen]
    if described.kind == "text":
        labels = [excerpt(row.tolist(), schema.vocabulary, LONGEST_TEXT) for row in stored]
    if results.task == "classification":
        cells = _Cells(results, schema.class_names)
        bars = [(label, *_swapped(cells(row))) for label, row in zip(labels, chosen, strict=True)]
        plots.mistaken_classes(bars, title, path, found.about)
    elif results.task == "regression":
        plots.mistaken_numbers(_farthest(measured, results, chosen, labels), title, path, found.about)
    else:
        label = "RMSE of the reconstruction (scaled units)"
        plots.errors(labels, results.error[rows].tolist(), label, title, path, found.about)


def _swapped(cells: Sequence[object]) -> tuple[str, str, float, float]:
    """Return true class, predicted class, and the probabilities of both in this order."""
    true, predicted, confidence, of_true = cells
    return str(true), str(predicted), float(str(of_true)), float(str(confidence))


def caption(results: Outcomes, row: int, names: Sequence[str]) -> tuple[str, str]:
    """Return two lines above an image."""
    if results.task == "classification":
        said = f"{names[int(results.predicted[row])]} ({float(results.confidence[row]):.0%})"
        return f"true: {names[int(results.true[row])]}", f"predicted: {said}"
    if results.task == "regression":
        return f"true: {float(results.true[row][0]):.4g}", f"predicted: {float(results.predicted[row][0]):.4g}"
    return f"row {row}", f"RMSE {float(results.error[row]):.3g}"


@torch.no_grad()
def reconstructed(measured: Evaluation, stored: Tensor) -> Tensor:
    """Return the reconstructions of images, in the units of the images."""
    scale = measured.data.input_scale
    outputs = scale.inverse(measured.model(scale(stored)).float())
    return outputs.clamp(0, 255).round().to(torch.uint8) if stored.dtype == torch.uint8 else outputs


def _farthest(
    measured: Evaluation, results: Outcomes, chosen: Sequence[int], labels: Sequence[str]
) -> list[tuple[str, float, float]]:
    """Return for each row its label, the true and the predicted number; of several targets the one that is farthest off."""
    scale, names = measured.data.target_scale, measured.data.schema.target_names
    found = []
    for label, row in zip(labels, chosen, strict=True):
        distance = (results.predicted[row] - results.true[row]).abs()
        if scale is not None:
            distance = distance * scale.factor[0].cpu().abs()
        target = int(distance.argmax())
        named = f"{label}: {names[target]}" if len(distance) > 1 and names else label
        found.append((named, float(results.true[row][target]), float(results.predicted[row][target])))
    return found
