"""Read the rows of a user's files as a finished run reads them, cleaned and with what identifies each."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainctl.data.centre import narrowed_rows
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import image, standard_input
from trainctl.fileformat.array_parts import read_inputs
from trainctl.fileformat.cells import JSON
from trainctl.fileformat.decompress import ENDINGS as PACKED
from trainctl.fileformat.decompress import ending
from trainctl.fileformat.pixels import BACKGROUNDS, Background, PixelFormat
from trainctl.finished.inputs import ARRAYS, COPYING, TABLES, Coverage, Inputs, Keep, Label
from trainctl.finished.open import Finished
from trainctl.finished.table_inputs import read_table_inputs, table_form
from trainctl.finished.text_inputs import read_text_inputs

SHOWN = 20  # errors in a message


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
        keep: Which further columns are kept with the rows.
        contents: What is read instead of some of the files, such as standard input.
        taken: Names that no kept column may have.
    """

    run: Finished
    fitted: Fitted
    files: Sequence[Path]
    ids: Sequence[str]
    several: bool
    notes: list[str]
    failed: list[DataError] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    keep: Keep = "none"
    contents: Mapping[Path, bytes] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()

    def parts(self) -> Iterator[tuple[list[Label], Tensor]]:
        """Yield the rows of each file, and what identifies them."""
        for file in self.files:
            try:
                found = read_rows(self.run, file, self.ids, keep=self.keep, content=self.contents.get(file))
                rows, lost = cleaned(found.rows, self.fitted, self.run.schema, file)
            except DataError as error:
                if not self.several:
                    raise
                self.failed.append(error)
                continue
            self.notes += [*found.notes, *(f"{file}: {line}" if self.several else line for line in lost)]
            self.coverage += found.coverage
            yield list(self._labels(file, found)), rows

    def require_rows(self) -> None:
        """Check that at least one file could be read, once all were.

        Raises:
            DataError: If none could, with the reason for each.
        """
        if len(self.failed) == len(self.files):
            rest = len(self.files) - SHOWN
            more = [f"and {rest:,} more"] if rest > 0 else []
            raise DataError(*map(str, self.failed[:SHOWN]), *more)

    def _labels(self, file: Path, found: Inputs) -> Iterator[Label]:
        pictured = self.keep in COPYING and ending(file) in image.suffixes()
        name: Label = {"file": shown(file)} if self.several or pictured else {}
        numbers = range(len(found.rows)) if found.numbers is None else found.numbers
        names = distinct(found.names, self.taken)
        for row, number in enumerate(numbers):
            cells = dict(zip(names, found.cells[row], strict=True)) if names else {}
            yield name | {"row": number} | cells


def distinct(names: Sequence[str], taken: frozenset[str]) -> list[str]:
    """Return the names of kept columns, with `given_` before those that a column of the predictions has.

    >>> distinct(["id", "price"], frozenset({"row", "price"}))
    ['id', 'given_price']
    """
    found = []
    for name in names:
        while name in taken:
            name = f"given_{name}"
        found.append(name)
    return found


def background(run: Finished) -> Background:
    """Return what lies behind transparent pixels: as in training, or white if its images came from no image files."""
    setting = run.config.parts["dataset"].get("background")
    return setting if setting in BACKGROUNDS else "white"


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
    rows = torch.from_numpy(np.require(values, np.float64, ["C", "W"])).reshape(-1, *shape)
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


def cleaned(rows: Tensor, fitted: Fitted, schema: Schema, source: Path) -> tuple[Tensor, tuple[str, ...]]:
    """Return rows in float32, cleaned as in training, and a note on each column that loses digits.

    Raises:
        DataError: If a value is missing, and the run was trained without imputation.
    """
    narrow, lost = narrowed_rows(rows, schema)
    values = fitted.cleaner(narrow)
    return values if fitted.cleaner.leaves_gaps else without_gaps(values, source, schema), lost


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


def read_rows(
    run: Finished,
    source: Path,
    ids: Sequence[str] = (),
    *,
    keep: Keep = "none",
    content: bytes | None = None,
    is_image: bool = False,
) -> Inputs:
    """Read a file as rows in the format of the run's data: uint8 for images, int64 for tokens, else float64 with NaN.

    Args:
        run: The run, with the settings that the command changes.
        source: The file.
        ids: Columns that identify the rows; only a table has them.
        keep: Which further columns are kept with the rows.
        content: What is read instead of the file; its kind is found out.
        is_image: Whether that is an image, whatever it looks like.

    Raises:
        DataError: If the file cannot be read, or does not have the shape and columns that the run was trained with.
    """
    schema = run.schema
    suffix = ".png" if is_image else ending(source) if content is None else kind_of(content, schema)
    settings = run.config.parts["dataset"]
    form = table_form(settings, [word.partition("=")[0] for word in run.overrides], schema)
    is_table = suffix in (TABLES | JSON | PACKED)
    if ids and (not is_table or (schema.vocabulary and suffix == ".txt")):
        raise DataError(f"{source}: id={','.join(ids)} needs a table with such a column")
    if suffix in image.suffixes():
        return read_picture(source, schema, background(run), content)
    if schema.vocabulary and suffix not in ARRAYS and (is_table or schema.encoding.whole_files):
        return read_text_inputs(source, schema, form, ids, keep=keep, content=content, suffix=suffix)
    if is_table:
        found = read_table_inputs(source, schema, form, settings, ids, keep=keep, content=content)
        return replace(found, rows=as_rows(found.rows.numpy(), schema, source))
    if suffix in ARRAYS:
        return with_columns(Inputs(as_rows(read_inputs(source), schema, source)), schema, keep)
    kinds = "a .csv, a .txt" if schema.vocabulary else "an image, a .csv"
    raise DataError(f"{source}: expected {kinds}, an .npz or an .npy")


def kind_of(content: bytes, schema: Schema) -> str:
    """Return the suffix that a file with this content would have, if a run with this schema reads it."""
    reads_images = len(schema.input_shape) == 3 and schema.input_shape[0] in (1, 3)
    text = schema.encoding.text if schema.vocabulary else None
    return standard_input.suffix_of(content, images=reads_images, text=text)


def shown(source: Path) -> str:
    """Return a path as text, with bytes that are not UTF-8 escaped."""
    return os.fsencode(source).decode("utf-8", "backslashreplace")


def with_columns(found: Inputs, schema: Schema, keep: Keep) -> Inputs:
    """Return rows of an array with their values if ``keep`` asks for them and each row is a list of numbers."""
    if keep not in COPYING or len(schema.input_shape) != 1 or schema.vocabulary:
        return found
    width = schema.input_shape[0]
    names = schema.input_names if len(schema.input_names) == width else [f"input_{index}" for index in range(width)]
    cells = [["" if math.isnan(value) else value for value in row] for row in found.rows.tolist()]
    return replace(found, names=tuple(names), cells=cells)


def read_picture(source: Path, schema: Schema, background: Background, content: bytes | None = None) -> Inputs:
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
    pixels, _ = image.to_pixels(source, image.read_bytes(source) if content is None else content, to)
    return Inputs(torch.from_numpy(pixels)[None])
