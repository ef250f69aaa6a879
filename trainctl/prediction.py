"""A file of inputs -> a CSV of predictions."""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainctl import checkpoint, reload
from trainctl.component import nearest
from trainctl.config import Tree
from trainctl.errors import DataError
from trainctl.scale.base import Affine

IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"}


def predict(directory: Path, tree: Tree, source: Path, which: str) -> str:
    """Return the predictions of a run for a file, as the text of a CSV.

    Raises:
        DataError: If the file cannot be read, or its rows are not of the shape the run was trained with.
    """
    settings, weights = reload.checked(directory, tree), reload.load(directory, which)
    inputs = read(source, weights.about)
    model, task, place = reload.build_model(settings, weights, directory)
    scales = checkpoint.scalings(weights.tensors)
    scale, units = scales[0].to(place), scales[1].to(place) if scales[1] else None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *columns(task, weights.about)])
    row = 0
    for portion in inputs.split(settings.loop.eval_batch_size):
        for values in rows(model, task, scale(portion.to(place)), units, weights.about):
            writer.writerow([row, *values])
            row += 1
    return text.getvalue()


def columns(task: str, about: dict[str, Any]) -> list[str]:
    """Name the columns after `row`."""
    if task == "classification":
        return ["prediction", *(harmless(f"p_{name}") for name in about["class_names"])]
    if task == "regression":
        return [harmless(name) for name in about["target_names"]] or [
            f"output_{index}" for index in range(about["outputs"])
        ]
    names = about["input_names"] or [f"output_{index}" for index in range(_size(about))]
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


def harmless(text: str) -> str:
    """Keep a spreadsheet from reading a name as a formula.

    >>> harmless("=cmd()"), harmless("setosa"), harmless("-1.5")
    ("'=cmd()", 'setosa', '-1.5')
    """
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text
    return text


def _size(about: dict[str, Any]) -> int:
    return int(np.prod(about["input_shape"]))


def read(source: Path, about: dict[str, Any]) -> Tensor:
    """Read a file as rows in the form that the run's data had: bytes for images, float32 for others.

    Raises:
        DataError: If it cannot be read, or does not fit.
    """
    shape, ending = tuple(about["input_shape"]), source.suffix.lower()
    if ending in IMAGES:
        return read_image(source, shape)
    if ending == ".csv":
        return as_rows(read_csv(source, about), shape, source)
    if ending in (".npz", ".npy"):
        return as_rows(read_array(source), shape, source)
    raise DataError(f"{source}: not an image, a .csv, an .npz or an .npy")


def as_rows(values: np.ndarray, shape: tuple[int, ...], source: Path) -> Tensor:
    """Return an array as rows of a shape; flat rows, a single row and images without a channel are understood.

    Raises:
        DataError: If it has another shape, or values that are missing or infinite, or are no bytes.
    """
    size = int(np.prod(shape))
    single = values.shape in (shape, (size,)) or (1, *values.shape) == shape
    fitting = values.size > 0 and (
        single or (values.ndim > 1 and (values.shape[1:] in (shape, (size,)) or (1, *values.shape[1:]) == shape))
    )
    if not fitting:
        raise DataError(f"{source}: its shape is {values.shape}, the run takes rows of shape {shape}")
    table = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).reshape(-1, *shape)
    if not (finite := table.isfinite().flatten(1).all(1)).all():
        raise DataError(f"{source}: row {int((~finite).nonzero()[0])} has values that are missing or infinite")
    if len(shape) == 3:
        if table.min() < 0 or table.max() > 255:
            raise DataError(
                f"{source}: pixels are to be in 0..255, these are in {float(table.min()):g}..{float(table.max()):g}"
            )
        if np.issubdtype(values.dtype, np.floating) and 0 < table.max() <= 1:
            raise DataError(f"{source}: pixels are to be in 0..255, these are in 0..1: multiply them by 255")
        return table.round().to(torch.uint8)
    return table.float()


def read_csv(source: Path, about: dict[str, Any]) -> np.ndarray:
    """Read the columns that the run knows, by their names; all columns in their order where it knows no names.

    Raises:
        DataError: By line and column.
    """
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source}: cannot be read as CSV: {error}") from error
    if len(lines) < 2:
        raise DataError(f"{source}: needs a header and at least one row")
    header = [name.strip() for name in lines[0]]
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{source}: column {twice[0]} is there {header.count(twice[0])} times")
    wanted = about["input_names"] or header
    if missing := [name for name in wanted if name not in header]:
        raise DataError(f"{source}: column {missing[0]} is missing{nearest(missing[0], header)}")
    places = [header.index(name) for name in wanted]
    table = []
    for number, cells in enumerate(lines[1:], 2):
        if not cells:
            continue
        if len(cells) != len(header):
            raise DataError(f"{source}, line {number}: has {len(cells)} cells, the header has {len(header)}")
        table.append([_number(cells[place], source, number, header[place]) for place in places])
    return np.array(table)


def _number(cell: str, source: Path, line: int, column: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise DataError(f"{source}, line {line}, column {column}: {cell!r} is not a number") from None


def read_array(source: Path) -> np.ndarray:
    """Read the one array of an .npz or .npy, or the one named ``inputs``; never a pickle.

    Raises:
        DataError: If there is no such array, or it holds no numbers.
    """
    try:
        with source.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            values = loaded if isinstance(loaded, np.ndarray) else loaded[_only(loaded.files, source)]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"{source}: cannot be read: {error}") from error
    if not np.issubdtype(values.dtype, np.number) and values.dtype != bool:
        raise DataError(f"{source}: holds {values.dtype}, not numbers")
    return values


def _only(names: Sequence[str], source: Path) -> str:
    if "inputs" not in names and len(names) != 1:
        raise DataError(f"{source}: holds {', '.join(names) or 'nothing'}; name the array to use `inputs`")
    return "inputs" if "inputs" in names else names[0]


def read_image(source: Path, shape: tuple[int, ...]) -> Tensor:
    """Read an image, turn it to the channels of ``shape`` (1 or 3) and scale it to its height and width.

    Raises:
        DataError: If it cannot be read, or the run takes no images.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError(f"{source}: is an image, the run takes rows of shape {shape}")
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(source) as image:
            picture = image.convert("L" if shape[0] == 1 else "RGB").resize(
                (shape[2], shape[1]), Image.Resampling.BILINEAR
            )
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise DataError(f"{source}: cannot be read as an image: {error}") from error
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8))
    return pixels.reshape(1, shape[1], shape[2], shape[0]).permute(0, 3, 1, 2).contiguous()
