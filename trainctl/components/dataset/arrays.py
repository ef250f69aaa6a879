"""Your own arrays in NumPy's formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from trainctl.components.dataset.base import Dataset, PathText, SchemaLike, Task, required
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.array import read_array
from trainctl.fileformat.array_parts import read_parts
from trainctl.fileformat.digits import as_floats
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.label import as_classes, guess_task, without_class
from trainctl.fileformat.place import check_file
from trainctl.fileformat.target import NO_CLASS

SMALLEST_IMAGE = 8  # pixels, from which on a square of numbers may be an image


def arrays(
    *,
    path: PathText | None,
    targets: PathText | None,
    task: Literal["auto", "classification", "regression"],
    schema: SchemaLike | None,
    unlabeled: bool = False,
) -> Dataset:
    """Return your own arrays: an ``.npz`` with ``inputs`` and ``targets``, or two ``.npy`` files.

    Pickled arrays are rejected.

    Args:
        path: An ``.npz`` with the arrays ``inputs`` and ``targets`` (or ``x`` and ``y``; or ``x_train``, ``y_train``,
            ``x_test``, ``y_test``, which are taken as the splits), or the ``.npy`` of the inputs: tables ``(N, F)``,
            sequences ``(N, T, F)``, or images of bytes with 1 or 3 channels, ``(N, C, H, W)`` or ``(N, H, W, C)``, or
            without channels, ``(N, H, W)``.
        targets: The ``.npy`` of the targets: classes ``(N,)``, whole numbers or texts, or values ``(N,)`` or ``(N, K)``;
            null: they are in the ``.npz``.
        task: ``auto``: a classification if the targets have an integer type and one column.
        schema: A finished run's schema, which determines the task and the classes. Supplied by ``assemble``.
        unlabeled: Whether the class -1 means that a row has no label; if not, it is a class. Supplied by ``assemble``: true
            with a teacher.

    Returns:
        Images as uint8, others as float32 or float64; NaN is a missing value, see ``clean``.

    Raises:
        ConfigError: If ``path`` is null.
        DataError: If the files cannot be read, or do not match; the message names the row.

    Source: NumPy, numpy.lib.format, the .npy format, versions 1.0 to 3.0.
    """
    file = Path(required("path", path, "FILE.npz"))
    check_file(file)
    if targets is None and file.suffix.lower() != ".npz":
        raise ConfigError(f"dataset.targets=null: {file.name} contains only inputs; set dataset.targets=FILE.npy")
    if targets:  # the only array of one file would be both inputs and targets
        answers = read_array(Path(targets), "targets", texts=True)
        values, val_rows, test_rows, taken = read_array(file), 0, 0, ""
    else:
        values, answers, val_rows, test_rows, taken = read_parts(file)
    if values.ndim < 2 or not answers.ndim or not values.size or not answers.size or len(values) != len(answers):
        raise DataError(
            f"{file}: inputs have shape {values.shape}, targets {answers.shape}: each row of inputs needs one target"
        )
    inputs, lines, notes = _inputs(values, file)
    amounts = answers.dtype.kind == "f" and (schema.task if schema else task) != "classification"
    missing = without_class(answers) if unlabeled and not amounts else np.zeros(len(answers), bool)
    found = guess_task(answers[~missing]) if task == "auto" and not schema else None
    chosen: Task = schema.task if schema else found.task if found else task  # type: ignore[assignment]
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    if chosen == "classification":
        if missing.all():
            raise DataError(f"{targets or file}: no row has a class: with a teacher, -1 means that a row has none")
        some, classes = as_classes(answers[~missing], targets or file, schema.class_names if schema else None)
        known = np.full(len(answers), NO_CLASS, dtype=np.int64)
        known[~missing] = some
    else:
        names = tuple(f"target_{column}" for column in range(answers.size // len(answers)))
        known, lost = _values(answers, names, targets or file)
        notes = (*notes, *lost)
    return Dataset(
        inputs=inputs,
        targets=torch.from_numpy(known),
        task=chosen,
        class_names=classes,
        target_names=names,
        val_rows=val_rows,
        test_rows=test_rows,
        inferred=(*lines, *((("splits", taken),) if taken else ())),
        notes=notes,
        task_reason=found.reason if found else "" if schema else f"as dataset.task={task} says",
        other_task=found.other if found else "",
    )


def _values(answers: np.ndarray, names: Sequence[str], file: Path | str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return targets of a regression ``(N, K)``, and notes on lost digits.

    Raises:
        DataError: If they are texts.
    """
    if answers.dtype.kind == "U":
        raise DataError(
            f"{file}: targets are texts, which only a classification can predict: dataset.task=classification"
        )
    return as_floats(answers.reshape(len(answers), -1), names)


def _inputs(values: np.ndarray, file: Path) -> tuple[torch.Tensor, tuple[InferredLine, ...], tuple[str, ...]]:
    """Return images as bytes ``(N, C, H, W)``, others as floating-point numbers; with what they were taken for, and notes.

    Raises:
        DataError: If no model can read their shape.
    """
    shape = "x".join(map(str, values.shape[1:]))
    if values.dtype == np.uint8 and values.ndim == 3:
        line = (
            f"grey images of {shape} pixels, as bytes (uint8) in 3 dimensions are; stored as float32 they are sequences"
        )
        return torch.from_numpy(np.ascontiguousarray(values[:, None])), (("inputs", line),), ()
    if values.ndim == 4:
        values = _bytes(values, file)
        if values.shape[1] not in (1, 3) and values.shape[3] in (1, 3):
            values = values.transpose(0, 3, 1, 2)
        line = "x".join(map(str, values.shape[1:]))
        return torch.from_numpy(np.ascontiguousarray(values)), (("inputs", f"images of {line}"),), ()
    if values.ndim not in (2, 3):
        raise DataError(f"{file}: inputs have shape {values.shape}; tables have 2 dimensions, sequences 3, images 4")
    floats, notes = as_floats(values, [f"column {index}" for index in range(values.shape[-1])])
    if values.ndim == 2:
        return torch.from_numpy(floats), (("inputs", f"a table of {shape} columns"),), notes
    line = f"sequences of {values.shape[1]} steps with {values.shape[2]} numbers each"
    if min(values.shape[1:]) < SMALLEST_IMAGE or not values.min() >= 0 or values.max() > 255:
        return torch.from_numpy(floats), (("inputs", line),), notes
    images = "(255 * x).round().astype('uint8')" if values.max() <= 1 else "x.astype('uint8')"
    return (
        torch.from_numpy(floats),
        (("inputs", line),),
        (
            *notes,
            f"inputs are read as {line}; if they are grey images of {shape} pixels, store them as {images}",
        ),
    )


def _bytes(values: np.ndarray, file: Path) -> np.ndarray:
    """Return pixels as bytes, where that loses nothing.

    Raises:
        DataError: If they are no whole numbers in 0..255, or all in 0..1, as if scaled.
    """
    if values.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind in "iu" or bool((values == np.rint(values)).all())
    if values.dtype.kind in "iuf" and whole and low >= 0 and 1 < high <= 255:
        return values.astype(np.uint8)
    scaled = values.dtype.kind in "bf" and low >= 0 and high <= 1
    repair = "; store (255 * x).round().astype('uint8')" if scaled else ""
    raise DataError(
        f"{file}: images must be bytes (uint8) in 0..255; found {values.dtype} in {low:g}..{high:g}{repair}"
    )
