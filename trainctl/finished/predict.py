"""Predict from a file of inputs, and format the predictions as CSV."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import array, image, table, tokens, utf8
from trainctl.fileformat.cells import JSON
from trainctl.fileformat.unpacked import ENDINGS as PACKED
from trainctl.fileformat.unpacked import ending
from trainctl.finished.open import Finished, load_model
from trainctl.finished.table_inputs import Inputs, read_table_inputs, table_form
from trainctl.report.table import harmless

TABLES = frozenset({".csv", ".tsv", ".txt"})  # for a run on texts, a .txt has one text per line


def predict(
    run: Finished, source: Path, which: str, ids: Sequence[str] = (), note: Callable[[str], None] = lambda line: None
) -> str:
    """Return the predictions of a run for a file, as CSV text.

    Args:
        run: The run.
        source: The file.
        which: The weights: ``best`` or ``last``.
        ids: Columns of the file that are copied to the predictions.
        note: Is called with each line that the user is to know.

    Raises:
        DataError: If the file cannot be read, or its rows do not have the shape that the run was trained with.
        CheckpointError: If configuration and weights do not match.
    """
    weights = run.weights(which)
    fitted = weights.fitted
    found = read_rows(run, source, ids)
    for line in found.notes:
        note(line)
    inputs = without_gaps(fitted.cleaner(found.rows), source, run.schema)
    model, task, device = load_model(run, weights)
    scale, units = fitted.input_scale.to(device), fitted.target_scale.to(device) if fitted.target_scale else None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *found.names, *columns(task, run.schema)])
    row = 0
    for portion in inputs.split(run.config.loop.eval_batch_size):
        for cells in predicted_cells(model, task, scale(portion.to(device)), units, run.schema):
            writer.writerow([row, *(found.cells[row] if found.names else ()), *cells])
            row += 1
    return text.getvalue()


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
    model: nn.Module, task: Task, inputs: Tensor, units: Affine | None, schema: Schema
) -> Iterator[Sequence[object]]:
    """Yield the output cells of each row of a scaled batch."""
    outputs = model(inputs).float()
    if task == "classification":
        for probabilities in outputs.softmax(1).tolist():
            best = max(range(len(probabilities)), key=probabilities.__getitem__)
            yield [harmless(schema.class_names[best]), *(f"{value:.6g}" for value in probabilities)]
    elif task == "regression":
        for values in (units.inverse(outputs) if units else outputs).tolist():
            yield [f"{value:.6g}" for value in values]
    else:
        errors = (outputs - inputs).flatten(1).square().mean(1).sqrt().tolist()
        for error, values in zip(errors, outputs.flatten(1).tolist(), strict=True):
            yield [f"{value:.6g}" for value in (error, *values)]


def read(source: Path, schema: Schema) -> Tensor:
    """Read a file as rows in the format of the run's data: uint8 for images, int64 for tokens, else float32 with NaN.

    Raises:
        DataError: If it cannot be read, or does not have the shape and columns that the run was trained with.
    """
    shape, suffix = schema.input_shape, ending(source)
    if suffix in image.ENDINGS:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise DataError(f"{source}: is an image; this run takes rows of shape {shape}")
        return torch.from_numpy(image.read_image(source, *shape))[None]
    if schema.vocabulary and suffix in TABLES:
        return read_text(source, schema)
    if suffix in TABLES:
        found = read_table_inputs(source, schema, table_form({}, (), schema), {})
        return as_rows(found.rows.numpy(), schema, source)
    if suffix in (".npz", ".npy"):
        return as_rows(array.read_array(source), schema, source)
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
    """Read a file as rows, with the columns that identify them; only a table has such columns.

    Args:
        run: The run, with the settings that the command changes.
        source: The file.
        ids: Columns that identify the rows.

    Raises:
        DataError: If the file cannot be read, or is no table although columns are to identify its rows.
    """
    schema = run.schema
    if schema.vocabulary or ending(source) not in (TABLES | JSON | PACKED):
        if ids:
            raise DataError(f"{source}: id={','.join(ids)} needs a table with such a column")
        return Inputs(read(source, schema))
    settings = run.config.parts["dataset"]
    changed = [word.partition("=")[0] for word in run.overrides]
    found = read_table_inputs(source, schema, table_form(settings, changed, schema), settings, ids)
    return replace(found, rows=as_rows(found.rows.numpy(), schema, source))


def read_text(source: Path, schema: Schema) -> Tensor:
    """Read texts as token ids ``(N, T)``, from a column of a CSV or from the lines of a .txt.

    Raises:
        DataError: If the file or a row has no text, or the run was trained on token ids instead of texts.
    """
    encoding, column, level = schema.encoding, schema.encoding.text, schema.encoding.level
    if column is None or level is None:
        raise DataError(f"{source}: this run was trained on token ids, not on texts; pass token ids as an .npy")
    if source.suffix.lower() != ".txt":
        cells = table.read_table(source, encoding.delimiter or "comma")
        texts = cells.cells(column)
        if gaps := [row for row, text in enumerate(texts) if table.is_missing(text)]:
            raise cells.error(gaps[0], column, "has no text")
    else:
        texts = [line for line in utf8.read_text(source).splitlines() if line.strip()]
        if not texts:
            raise DataError(f"{source}: contains no text")
    codes = {token: code for code, token in enumerate(schema.vocabulary)}
    rows = [tokens.split(text, level, lowercase=bool(encoding.lowercase)) for text in texts]
    return torch.from_numpy(np.stack([tokens.ids(row, codes, schema.input_shape[0]) for row in rows]))
