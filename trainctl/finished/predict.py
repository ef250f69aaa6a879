"""A file of inputs -> a CSV of predictions."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainctl.components.scale.base import Affine
from trainctl.errors import DataError
from trainctl.fileformat import array, image, table, tokens, utf8
from trainctl.finished import open as reload
from trainctl.report.table import harmless
from trainctl.settings.config import Tree
from trainctl.store import checkpoint

TABLES = frozenset({".csv", ".tsv", ".txt"})  # for a run on texts, a .txt holds a text a line


def predict(directory: Path, tree: Tree, source: Path, which: str) -> str:
    """Return the predictions of a run for a file, as the text of a CSV.

    Raises:
        DataError: If the file cannot be read, or its rows are not of the shape the run was trained with.
    """
    settings, weights = reload.checked(directory, tree), reload.load(directory, which)
    fitted = checkpoint.fitted(weights.tensors)
    inputs = complete(fitted.cleaner(read(source, weights.about)), source, weights.about)
    model, task, place = reload.build_model(settings, weights, directory)
    scale, units = fitted.input_scale.to(place), fitted.target_scale.to(place) if fitted.target_scale else None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *columns(task, weights.about)])
    row = 0
    for portion in inputs.split(settings.loop.eval_batch_size):
        for values in rows(model, task, scale(portion.to(place)), units, weights.about):
            writer.writerow([row, *values])
            row += 1
    return text.getvalue()


def columns(task: str, about: dict[str, Any]) -> list[object]:
    """Name the columns after `row`."""
    if task == "classification":
        return ["prediction", *(harmless(f"p_{name}") for name in about["class_names"])]
    if task == "regression":
        return [harmless(name) for name in about["target_names"]] or [
            f"output_{index}" for index in range(about["outputs"])
        ]
    size = _size(about)
    names = about["input_names"] if len(about["input_names"]) == size else [f"output_{index}" for index in range(size)]
    return ["rmse", *map(harmless, names)]


@torch.no_grad()
def rows(
    model: nn.Module, task: str, inputs: Tensor, units: Affine | None, about: dict[str, Any]
) -> Iterator[Sequence[object]]:
    """Yield the cells of each row of a scaled batch."""
    outputs = model(inputs).float()
    if task == "classification":
        for probabilities in outputs.softmax(1).tolist():
            best = max(range(len(probabilities)), key=probabilities.__getitem__)
            yield [harmless(about["class_names"][best]), *(f"{value:.6g}" for value in probabilities)]
    elif task == "regression":
        for values in (units.inverse(outputs) if units else outputs).tolist():
            yield [f"{value:.6g}" for value in values]
    else:
        errors = (outputs - inputs).flatten(1).square().mean(1).sqrt().tolist()
        for error, values in zip(errors, outputs.flatten(1).tolist(), strict=True):
            yield [f"{value:.6g}" for value in (error, *values)]


def _size(about: dict[str, Any]) -> int:
    return int(np.prod(about["input_shape"]))


def read(source: Path, about: dict[str, Any]) -> Tensor:
    """Read a file as rows in the form that the run's data had: bytes for images, float32 with NaN for others.

    Raises:
        DataError: If it cannot be read, or does not fit.
    """
    shape, ending = tuple(about["input_shape"]), source.suffix.lower()
    if ending in image.ENDINGS:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise DataError(f"{source}: is an image, the run takes rows of shape {shape}")
        return torch.from_numpy(image.read_image(source, *shape))[None]
    if about.get("vocabulary") and ending in TABLES:
        return read_text(source, about)
    if ending in TABLES:
        return read_csv(source, about)
    if ending in (".npz", ".npy"):
        return as_rows(array.read_array(source), about, source)
    kinds = "a .csv, a .txt" if about.get("vocabulary") else "an image, a .csv"
    raise DataError(f"{source}: not {kinds}, an .npz or an .npy")


def as_rows(values: np.ndarray, about: dict[str, Any], source: Path) -> Tensor:
    """Return an array as rows of a shape; a single row is understood, and rows that are flat.

    Of images those without a channel too, and those with the channels last.

    Raises:
        DataError: If it has another shape, or values that are infinite, are no bytes, or no tokens.
    """
    shape, size = tuple(about["input_shape"]), _size(about)
    if len(shape) == 3 and shape[0] in (1, 3) and values.shape[-3:] == (*shape[1:], shape[0]) != shape:
        values = np.moveaxis(values, -1, -3)
    single = values.shape in (shape, (size,)) or (1, *values.shape) == shape
    fitting = values.size > 0 and (
        single or (values.ndim > 1 and (values.shape[1:] in (shape, (size,)) or (1, *values.shape[1:]) == shape))
    )
    if not fitting:
        raise DataError(f"{source}: its shape is {values.shape}, the run takes rows of shape {shape}")
    rows = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).reshape(-1, *shape)
    if (bad := rows.float().isinf().flatten(1).any(1)).any():
        raise DataError(f"{source}: row {int(bad.nonzero()[0])} has values that are infinite")
    if count := len(about.get("vocabulary", ())):
        if not ((rows >= 0) & (rows < count)).all():
            raise DataError(f"{source}: token ids are to be in 0..{count - 1}")
        return rows.long()
    if len(shape) == 3:
        if not (rows.min() >= 0 and rows.max() <= 255):
            raise DataError(
                f"{source}: pixels are to be in 0..255, these are in {float(rows.min()):g}..{float(rows.max()):g}"
            )
        if np.issubdtype(values.dtype, np.floating) and 0 < rows.max() <= 1:
            raise DataError(f"{source}: pixels are to be in 0..255, these are in 0..1: multiply them by 255")
        return rows.round().to(torch.uint8)
    return rows.float()


def complete(inputs: Tensor, source: Path, about: dict[str, Any]) -> Tensor:
    """Return cleaned rows.

    Raises:
        DataError: If a value is still missing.
    """
    if not inputs.is_floating_point() or not (bad := inputs.isnan()).any():
        return inputs
    row, place = bad.flatten(1).nonzero()[0].tolist()
    names = about["input_names"]
    place %= inputs.shape[-1]
    column = f", column {names[place].partition('=')[0]}" if names else ""
    raise DataError(
        f"{source}: row {row}{column} has a value that is missing, and the run has nothing to fill it in; train with clean=impute"
    )


def read_csv(source: Path, about: dict[str, Any]) -> Tensor:
    """Read the columns that the run knows, by their names; all columns in their order where it knows no names.

    Raises:
        DataError: By line and column.
    """
    encoding = about.get("encoding", {})
    found = table.read_table(source, encoding.get("delimiter", "comma"))
    columns = [table.Column(one["name"], tuple(one["categories"])) for one in about.get("columns", ())]
    columns = columns or [table.Column(name) for name in about["input_names"] or found.header]
    values = table.encode(found, columns).astype(np.float32)
    if window := encoding.get("window"):
        if len(values) < window:
            raise DataError(f"{source}: has {len(values)} rows, the run reads windows of {window}")
        return torch.from_numpy(values).unfold(0, window, 1).transpose(1, 2).contiguous()
    return as_rows(values, about, source)


def read_text(source: Path, about: dict[str, Any]) -> Tensor:
    """Read texts, from a CSV's column or one a line, as token ids ``(N, T)``."""
    encoding = about["encoding"]
    if source.suffix.lower() != ".txt":
        found, column = table.read_table(source, encoding.get("delimiter", "comma")), encoding["text"]
        texts = found.cells(column)
        if gaps := [row for row, text in enumerate(texts) if table.is_missing(text)]:
            raise found.error(gaps[0], column, "holds no text")
    else:
        texts = [line for line in utf8.read_text(source).splitlines() if line.strip()]
        if not texts:
            raise DataError(f"{source}: holds no text")
    known = {token: place for place, token in enumerate(about["vocabulary"])}
    length = about["input_shape"][0]
    rows = [tokens.split(text, encoding["level"], lowercase=encoding["lowercase"]) for text in texts]
    return torch.from_numpy(np.stack([tokens.ids(row, known, length) for row in rows]))
