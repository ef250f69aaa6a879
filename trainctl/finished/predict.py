"""Predict from a file of inputs, and format the predictions as CSV."""

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.data.centre import add, narrowed_rows
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import array, image
from trainctl.fileformat.cells import JSON
from trainctl.fileformat.pixels import BACKGROUNDS, Background, PixelFormat
from trainctl.fileformat.unpacked import ENDINGS as PACKED
from trainctl.fileformat.unpacked import ending
from trainctl.fileformat.waiting import waiting
from trainctl.finished import disagreement
from trainctl.finished.inputs import ARRAYS, TABLES, Coverage, Inputs, Label, batches, expand
from trainctl.finished.open import Finished, load_model
from trainctl.finished.table_inputs import read_table_inputs, table_form
from trainctl.finished.text_inputs import read_text_inputs
from trainctl.machine.device import autocast
from trainctl.report.table import harmless

SHOWN = 20  # errors in a message


@dataclass(frozen=True)
class Predictions:
    """What was predicted.

    Args:
        text: A CSV.
        notes: What the user is to know, a line each.
        failed: The files that cannot be predicted, an error each; the others are in the text.
        files: How many files there were.
    """

    text: str
    notes: tuple[str, ...]
    failed: tuple[DataError, ...]
    files: int


def predict(
    run: Finished, given: Sequence[Path], which: str, ids: Sequence[str] = (), *, spreadsheet: bool = False
) -> Predictions:
    """Return the predictions of a run for files, as CSV text.

    One file is predicted or raises an error. Of several files, or of a directory, those that cannot be predicted are left
    out, and a first column says from which file a row is.

    Args:
        run: The run.
        given: Files and directories.
        which: The weights: ``best`` or ``last``.
        ids: Columns of the files that are copied to the predictions.
        spreadsheet: Whether names that a spreadsheet would run as a formula get a quote in front. They no longer equal
            those in the data then.

    Raises:
        DataError: If no file can be read, or none has rows of the shape that the run was trained with.
        CheckpointError: If configuration and weights do not match.
    """
    weights = run.weights(which)
    files, notes = expand(given, run.schema)
    source = Source(run, weights.fitted, files, ids, several=len(given) > 1 or given[0].is_dir(), notes=notes)
    model, task, device = load_model(run, weights)
    fitted = weights.fitted
    scale, units = fitted.input_scale.to(device), fitted.target_scale.to(device) if fitted.target_scale else None
    rows: list[tuple[Label, Sequence[str]]] = []
    with waiting("predicting", unit="rows") as wait:
        for labels, portion in batches(source.parts(), run.config.loop.eval_batch_size):
            scaled = scale(portion.to(device))
            with torch.no_grad(), autocast(device, run.config.precision):
                outputs, differing = disagreement.outputs_and_disagreement(model, scaled)
            cells = predicted_cells(outputs.float(), task, scaled, units, run.schema)
            if differing is not None:
                more = shortest(disagreement.in_units(differing.float(), task, units))
                cells = (one + other for one, other in zip(cells, more, strict=True))
            rows += zip(labels, cells, strict=True)
            wait.advance(len(portion))
    if len(source.failed) == len(files):
        rest = len(files) - SHOWN
        raise DataError("\n".join([*map(str, source.failed[:SHOWN]), *([f"and {rest:,} more"] if rest > 0 else [])]))
    names = list(dict.fromkeys(name for label, _ in rows for name in label))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    guard = harmless if spreadsheet else str
    predicted = [*columns(task, run.schema), *disagreement.columns(model, task, run.schema)]
    writer.writerow(map(guard, [*names, *predicted]))
    writer.writerows(map(guard, [*(str(label.get(name, "")) for name in names), *cells]) for label, cells in rows)
    notes += source.coverage.notes(run.schema.input_shape[0])
    return Predictions(text.getvalue(), tuple(notes), tuple(source.failed), len(files))


@dataclass
class Source:
    """The rows of files, one file after the other.

    Args:
        run: The run.
        fitted: Its cleaning.
        files: The files.
        ids: Columns that identify rows.
        several: Whether the name of its file belongs to a row, and files that cannot be predicted are left out.
        notes: What is odd about the files, a line each; those that were read.
        failed: The errors of those that cannot be predicted.
        coverage: How much of their texts is known.
    """

    run: Finished
    fitted: Fitted
    files: Sequence[Path]
    ids: Sequence[str]
    several: bool
    notes: list[str]
    failed: list[DataError] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)

    def parts(self) -> Iterator[tuple[list[Label], Tensor]]:
        """Yield the rows of each file, and what identifies them."""
        for file in self.files:
            try:
                found = read_rows(self.run, file, self.ids)
                narrow, lost = narrowed_rows(found.rows, self.run.schema)
                rows = self.fitted.cleaner(narrow)
                rows = rows if self.fitted.cleaner.leaves_gaps else without_gaps(rows, file, self.run.schema)
            except DataError as error:
                if not self.several:
                    raise
                self.failed.append(error)
                continue
            self.notes += [*found.notes, *(f"{file}: {line}" if self.several else line for line in lost)]
            self.coverage += found.coverage
            yield list(self._labels(file, found)), rows

    def _labels(self, file: Path, found: Inputs) -> Iterator[Label]:
        name: Label = {"file": os.fsencode(file).decode("utf-8", "backslashreplace")} if self.several else {}
        numbers = range(len(found.rows)) if found.numbers is None else found.numbers
        for row, number in enumerate(numbers):
            cells = dict(zip(found.names, found.cells[row], strict=True)) if found.names else {}
            yield name | {"row": number} | cells


def background(run: Finished) -> Background:
    """Return what lies behind transparent pixels: as in training, or white if its images came from no image files."""
    setting = run.config.parts["dataset"].get("background")
    return setting if setting in BACKGROUNDS else "white"


def columns(task: Task, schema: Schema) -> list[str]:
    """Return the names of the output columns after `row`."""
    if task == "classification":
        return ["prediction", *(f"p_{name}" for name in schema.class_names)]
    names, size = schema.target_names, schema.outputs
    if task == "reconstruction":
        names, size = schema.input_names, math.prod(schema.input_shape)
    shown = names if len(names) == size else [f"output_{index}" for index in range(size)]
    return ["rmse", *shown] if task == "reconstruction" else [*shown]


def predicted_cells(
    outputs: Tensor, task: Task, inputs: Tensor, units: Affine | None, schema: Schema
) -> Iterator[list[str]]:
    """Yield the output cells of each row, from a model's outputs for a scaled batch."""
    if task == "classification":
        for best, cells in zip(outputs.argmax(1).tolist(), shortest(outputs.softmax(1)), strict=True):
            yield [schema.class_names[best], *cells]
    elif task == "regression":
        yield from shortest(add(units.inverse(outputs) if units else outputs, schema.target_centre))
    else:
        errors = (outputs - inputs).flatten(1).square().mean(1, keepdim=True).sqrt()
        yield from shortest(torch.cat([errors, outputs.flatten(1)], dim=1))


def shortest(values: Tensor) -> Iterator[list[str]]:
    """Yield the numbers of each row ``(N, K)`` as the shortest text that gives the same float32 or float64 back.

    >>> (
    ...     list(shortest(torch.tensor([[0.1, 2459123.5]]))),
    ...     list(shortest(torch.tensor([[0.1]], dtype=torch.float64) + 1e9)),
    ... )
    ([['0.1', '2.4591235e+06']], [['1000000000.1']])
    """
    for row in values.cpu().numpy():
        yield list(map(str, row))


def as_rows(values: np.ndarray, schema: Schema, source: Path) -> Tensor:
    """Convert an array to rows; it may be a single row, and rows may be flat.

    Images may also have no channel dimension, or have the channels last.

    Raises:
        DataError: If the shape is wrong, or a value is infinite, not a pixel value, or not a token id.
    """
    shape, size = schema.input_shape, math.prod(schema.input_shape)
    if len(shape) == 3 and shape[0] in (1, 3) and values.shape[-3:] == (*shape[1:], shape[0]) != shape:
        values = np.moveaxis(values, -1, -3)
    one_row = values.shape in (shape, (size,)) or (1, *values.shape) == shape
    many_rows = values.ndim > 1 and (values.shape[1:] in (shape, (size,)) or (1, *values.shape[1:]) == shape)
    if not values.size or not (one_row or many_rows):
        raise DataError(f"{source}: has shape {values.shape}; this run takes rows of shape {shape}")
    rows = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).reshape(-1, *shape)
    if (infinite := rows.float().isinf().flatten(1).any(1)).any():
        raise DataError(f"{source}: row {int(infinite.nonzero()[0])} has infinite values")
    if vocabulary_size := len(schema.vocabulary):
        if not ((rows >= 0) & (rows < vocabulary_size)).all():
            raise DataError(f"{source}: token ids must be in 0..{vocabulary_size - 1}")
        return rows.long()
    return _pixels(rows, values, source) if len(shape) == 3 else rows


def _pixels(rows: Tensor, values: np.ndarray, source: Path) -> Tensor:
    """Convert pixel values to uint8.

    Raises:
        DataError: If values are outside 0..255, or were probably scaled to 0..1.
    """
    if not (rows.min() >= 0 and rows.max() <= 255):
        extremes = f"{float(rows.min()):g}..{float(rows.max()):g}"
        raise DataError(f"{source}: pixel values must be in 0..255; found {extremes}")
    if np.issubdtype(values.dtype, np.floating) and 0 < rows.max() <= 1:
        raise DataError(f"{source}: pixel values must be in 0..255; found 0..1: multiply them by 255")
    return rows.round().to(torch.uint8)


def without_gaps(inputs: Tensor, source: Path, schema: Schema) -> Tensor:
    """Check that cleaned rows have no missing values, and return them.

    Raises:
        DataError: If a value is missing.
    """
    if not inputs.is_floating_point() or not (gaps := inputs.isnan()).any():
        return inputs
    row, index = gaps.flatten(1).nonzero()[0].tolist()
    names = schema.input_names
    column = f", column {names[index % inputs.shape[-1]].partition('=')[0]}" if names else ""
    raise DataError(
        f"{source}: row {row}{column} has a missing value; this run was trained without imputation (clean=impute)"
    )


def read_rows(run: Finished, source: Path, ids: Sequence[str] = ()) -> Inputs:
    """Read a file as rows in the format of the run's data: uint8 for images, int64 for tokens, else float64 with NaN.

    Args:
        run: The run, with the settings that the command changes.
        source: The file.
        ids: Columns that identify the rows; only a table has them.

    Raises:
        DataError: If the file cannot be read, or does not have the shape and columns that the run was trained with.
    """
    schema, suffix = run.schema, ending(source)
    settings = run.config.parts["dataset"]
    form = table_form(settings, [word.partition("=")[0] for word in run.overrides], schema)
    is_table = suffix in (TABLES | JSON | PACKED)
    if ids and (not is_table or (schema.vocabulary and suffix == ".txt")):
        raise DataError(f"{source}: id={','.join(ids)} needs a table with such a column")
    if suffix in image.suffixes():
        return read_picture(source, schema, background(run))
    if schema.vocabulary and suffix not in ARRAYS and (is_table or schema.encoding.whole_files):
        return read_text_inputs(source, schema, form, ids)
    if is_table:
        found = read_table_inputs(source, schema, form, settings, ids)
        return replace(found, rows=as_rows(found.rows.numpy(), schema, source))
    if suffix in ARRAYS:
        return Inputs(as_rows(array.read_array(source), schema, source))
    kinds = "a .csv, a .txt" if schema.vocabulary else "an image, a .csv"
    raise DataError(f"{source}: expected {kinds}, an .npz or an .npy")


def read_picture(source: Path, schema: Schema, background: Background) -> Inputs:
    """Read an image file as one row, converted as in training.

    Raises:
        DataError: If it cannot be read, or the run takes no images.
    """
    shape = schema.input_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError(f"{source}: is an image; this run takes rows of shape {shape}")
    to = PixelFormat(
        channels=shape[0], height=shape[1], width=shape[2], background=background,
        pixel_range=schema.encoding.pixel_range,
    )  # fmt: skip
    return Inputs(torch.from_numpy(image.read_image(source, to))[None])
