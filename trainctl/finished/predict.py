"""Predict from a file of inputs, and format the predictions as CSV."""

import csv
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import array, image, table
from trainctl.fileformat.pixels import BACKGROUNDS, Background, PixelFormat
from trainctl.finished import inputs
from trainctl.finished.open import Finished, load_model
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


def predict(run: Finished, given: Sequence[Path], which: str) -> Predictions:
    """Return the predictions of a run for files, as CSV text.

    One file is predicted or raises an error. Of several files, or of a directory, those that cannot be predicted are left
    out, and a first column says from which file a row is.

    Args:
        run: The run.
        given: Files and directories.
        which: The weights: ``best`` or ``last``.

    Raises:
        DataError: If no file can be read, or none has rows of the shape that the run was trained with.
        CheckpointError: If configuration and weights do not match.
    """
    weights = run.weights(which)
    files, notes = inputs.expand(given, run.schema)
    several = len(given) > 1 or given[0].is_dir()
    fitted, coverage, failed = weights.fitted, inputs.Coverage(), []
    with_lines = bool(run.schema.vocabulary) and any(map(is_lines(run.schema), files))

    def parts() -> Iterator[tuple[list[list[object]], Tensor]]:
        nonlocal coverage
        for file in files:
            try:
                found = read(file, run.schema, background(run))
                rows = without_gaps(fitted.cleaner(found.rows), file, run.schema)
            except DataError as error:
                if not several:
                    raise
                failed.append(error)
                continue
            coverage += found.vocabulary or inputs.Coverage()
            yield list(labels(file, found, several=several, with_lines=with_lines)), rows

    model, task, device = load_model(run, weights)
    scale, units = fitted.input_scale.to(device), fitted.target_scale.to(device) if fitted.target_scale else None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    before = [*(["file"] if several else []), "row", *(["line"] if with_lines else [])]
    writer.writerow([*before, *columns(task, run.schema)])
    for names, portion in inputs.batches(parts(), run.config.loop.eval_batch_size):
        cells = predicted_cells(model, task, scale(portion.to(device)), units, run.schema)
        writer.writerows([*name, *row] for name, row in zip(names, cells, strict=True))
    if len(failed) == len(files):
        raise DataError(
            "\n".join([*map(str, failed[:SHOWN]), *([f"and {len(failed) - SHOWN} more"] * (len(failed) > SHOWN))])
        )
    length = run.schema.input_shape[0]
    return Predictions(text.getvalue(), (*notes, *coverage.notes(length)), tuple(failed), len(files))


def labels(file: Path, found: inputs.Inputs, *, several: bool, with_lines: bool) -> Iterator[list[object]]:
    """Yield what identifies each row of a file: its name if there are several, the row, and the line of a text."""
    name = [os.fsencode(file).decode("utf-8", "backslashreplace")] if several else []
    for row in range(len(found.rows)):
        line: list[object] = [found.lines[row] if found.lines else ""] if with_lines else []
        yield [*name, row, *line]


def is_lines(schema: Schema) -> Callable[[Path], bool]:
    """Return whether each line of a file is a text."""
    return lambda file: file.suffix.lower() == ".txt" and not schema.encoding.whole_files


def background(run: Finished) -> Background:
    """Return what lies behind transparent pixels: as in training, or white if its images came from no image files."""
    setting = run.config.parts["dataset"].get("background")
    return setting if setting in BACKGROUNDS else "white"


def columns(task: Task, schema: Schema) -> list[object]:
    """Return the names of the output columns after `row`."""
    if task == "classification":
        return ["prediction", *(harmless(f"p_{name}") for name in schema.class_names)]
    names, size = schema.target_names, schema.outputs
    if task == "reconstruction":
        names, size = schema.input_names, math.prod(schema.input_shape)
    shown = map(harmless, names) if len(names) == size else (f"output_{index}" for index in range(size))
    return ["rmse", *shown] if task == "reconstruction" else [*shown]


@torch.no_grad()
def predicted_cells(
    model: nn.Module, task: Task, scaled: Tensor, units: Affine | None, schema: Schema
) -> Iterator[Sequence[object]]:
    """Yield the output cells of each row of a scaled batch."""
    outputs = model(scaled).float()
    if task == "classification":
        for probabilities in outputs.softmax(1).tolist():
            best = max(range(len(probabilities)), key=probabilities.__getitem__)
            yield [harmless(schema.class_names[best]), *(f"{value:.6g}" for value in probabilities)]
    elif task == "regression":
        for values in (units.inverse(outputs) if units else outputs).tolist():
            yield [f"{value:.6g}" for value in values]
    else:
        errors = (outputs - scaled).flatten(1).square().mean(1).sqrt().tolist()
        for error, values in zip(errors, outputs.flatten(1).tolist(), strict=True):
            yield [f"{value:.6g}" for value in (error, *values)]


def read(source: Path, schema: Schema, background: Background = "white") -> inputs.Inputs:
    """Read a file as rows in the format of the run's data: uint8 for images, int64 for tokens, else float32 with NaN.

    Raises:
        DataError: If it cannot be read, or does not have the shape and columns that the run was trained with.
    """
    shape, ending = schema.input_shape, source.suffix.lower()
    if ending in image.suffixes():
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise DataError(f"{source}: is an image; this run takes rows of shape {shape}")
        to = PixelFormat(
            channels=shape[0], height=shape[1], width=shape[2], background=background,
            pixel_range=schema.encoding.pixel_range,
        )  # fmt: skip
        return inputs.Inputs(torch.from_numpy(image.read_image(source, to))[None])
    if schema.vocabulary and (ending in inputs.TABLES or schema.encoding.whole_files) and ending not in inputs.ARRAYS:
        return inputs.read_texts(source, schema)
    if ending in inputs.TABLES:
        return inputs.Inputs(read_csv(source, schema))
    if ending in inputs.ARRAYS:
        return inputs.Inputs(as_rows(array.read_array(source), schema, source))
    kinds = "a .csv, a .txt" if schema.vocabulary else "an image, a .csv"
    raise DataError(f"{source}: expected {kinds}, an .npz or an .npy")


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
    return _pixels(rows, values, source) if len(shape) == 3 else rows.float()


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


def without_gaps(rows: Tensor, source: Path, schema: Schema) -> Tensor:
    """Check that cleaned rows have no missing values, and return them.

    Raises:
        DataError: If a value is missing.
    """
    if not rows.is_floating_point() or not (gaps := rows.isnan()).any():
        return rows
    row, index = gaps.flatten(1).nonzero()[0].tolist()
    names = schema.input_names
    column = f", column {names[index % rows.shape[-1]].partition('=')[0]}" if names else ""
    raise DataError(
        f"{source}: row {row}{column} has a missing value; this run was trained without imputation (clean=impute)"
    )


def read_csv(source: Path, schema: Schema) -> Tensor:
    """Read the columns that the run was trained with, by name, or all columns in order if those had no names.

    Raises:
        DataError: If the file is not valid; names line and column.
    """
    encoding = schema.encoding
    cells = table.read_table(source, encoding.delimiter or "comma")
    names = schema.input_names or tuple(cells.header)
    values = table.encode(cells, schema.columns or tuple(map(table.Column, names))).astype(np.float32)
    if window := encoding.window:
        if len(values) < window:
            raise DataError(f"{source}: has {len(values)} rows; this run reads windows of {window}")
        return torch.from_numpy(values).unfold(0, window, 1).transpose(1, 2).contiguous()
    return as_rows(values, schema, source)
