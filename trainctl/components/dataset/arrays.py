"""Your own arrays in NumPy's formats."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from trainctl.components.dataset.base import Dataset, PathText, SchemaLike, required
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.array import read_array
from trainctl.fileformat.digits import as_floats
from trainctl.fileformat.place import check_file


def arrays(
    *,
    path: PathText | None,
    targets: PathText | None,
    task: Literal["auto", "classification", "regression"],
    schema: SchemaLike | None,
) -> Dataset:
    """Return your own arrays: an ``.npz`` with ``inputs`` and ``targets``, or two ``.npy`` files.

    Pickled arrays are rejected.

    Args:
        path: An ``.npz``, or the ``.npy`` of the inputs: tables ``(N, F)``, sequences ``(N, T, F)``, or images of bytes
            with 1 or 3 channels, ``(N, C, H, W)`` or ``(N, H, W, C)``, or without channels, ``(N, H, W)``.
        targets: The ``.npy`` of the targets: classes ``(N,)`` from 0, or values ``(N,)`` or ``(N, K)``; null: they are
            in the ``.npz``.
        task: ``auto``: a classification if the targets have an integer type and one column.
        schema: A finished run's schema, which determines the task and the classes. Supplied by ``assemble``.

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
    two = targets is not None  # the only array of one file would be both inputs and targets
    values = read_array(file, alone=two)
    answers = read_array(Path(targets) if targets else file, "targets", alone=two)
    if values.ndim < 2 or not answers.ndim or not values.size or not answers.size or len(values) != len(answers):
        raise DataError(
            f"{file}: inputs have shape {values.shape}, targets {answers.shape}: each row of inputs needs one target"
        )
    integers = np.issubdtype(answers.dtype, np.integer) or answers.dtype == bool
    if schema:
        task = schema.task
    elif task == "auto":
        task = "classification" if integers and (answers.ndim == 1 or answers.shape[1:] == (1,)) else "regression"
    inputs, notes = _inputs(values, file)
    if task == "regression":
        answers = answers.reshape(len(answers), -1)
        names = tuple(f"target_{column}" for column in range(answers.shape[1]))
        floats, more = as_floats(answers, names)
        return Dataset(inputs, torch.from_numpy(floats), "regression", target_names=names, notes=(*notes, *more))
    labels = answers.reshape(len(answers), -1)
    bad = (labels < 0) | (labels != np.rint(labels)) | (labels >= 2**31)
    if labels.shape[1] != 1 or bad.any():
        row = int(bad.any(1).argmax())
        raise DataError(
            f"{targets or file}: target {labels[row].tolist()} in row {row} is not a class; classes are 0, 1, ..."
        )
    labels = labels[:, 0].astype(np.int64)
    if schema:
        if labels.max() >= (count := len(schema.class_names)):
            row = int(labels.argmax())
            raise DataError(
                f"{targets or file}: target {labels[row]} in row {row} is not one of the run's classes 0..{count - 1}"
            )
        return Dataset(inputs, torch.from_numpy(labels), "classification", schema.class_names, notes=notes)
    classes = int(labels.max()) + 1
    if classes < 2:
        raise DataError(f"{targets or file}: has only one class (0)")
    if missing := sorted(set(range(min(classes, len(labels) + 1))) - set(labels.tolist())):
        raise DataError(
            f"{targets or file}: class {missing[0]} has no rows, although the largest class is {classes - 1}"
        )
    return Dataset(inputs, torch.from_numpy(labels), "classification", tuple(map(str, range(classes))), notes=notes)


def _inputs(values: np.ndarray, file: Path) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Return images as bytes ``(N, C, H, W)``, other arrays as floating-point numbers; and notes on lost digits.

    Raises:
        DataError: If no model can read their shape.
    """
    if values.dtype == np.uint8 and values.ndim == 3:
        values = values[:, None]
    if values.ndim == 4:
        if values.dtype != np.uint8:
            raise DataError(f"{file}: images must be bytes (uint8) in 0..255; found {values.dtype}")
        if values.shape[1] not in (1, 3) and values.shape[3] in (1, 3):
            values = values.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(values)), ()
    if values.ndim not in (2, 3):
        raise DataError(f"{file}: inputs have shape {values.shape}; tables have 2 dimensions, sequences 3, images 4")
    floats, notes = as_floats(values, [f"column {index}" for index in range(values.shape[-1])])
    return torch.from_numpy(floats), notes
