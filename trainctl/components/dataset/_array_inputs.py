"""Arrays in memory become inputs: images, sequences or tables."""

from pathlib import Path

import numpy as np
import torch

from trainctl.errors import DataError
from trainctl.fileformat.digits import as_floats
from trainctl.fileformat.inferred import InferredLine
from trainctl.wording import amount

SMALLEST_IMAGE = 8  # pixels, from which on a square of numbers may be an image


def inputs_of(values: np.ndarray, file: Path) -> tuple[torch.Tensor, tuple[InferredLine, ...], tuple[str, ...]]:
    """Return images as bytes ``(N, C, H, W)``, others as floating-point numbers; with what they were taken for, and notes.

    Raises:
        DataError: If no model can read their shape.
    """
    shape = "x".join(map(str, values.shape[1:]))
    if values.dtype == np.uint8 and values.ndim == 3:
        line = f"grey images of {shape} pixels, because they are bytes (uint8) in 3 dimensions; stored as float32, they would be sequences"
        return torch.from_numpy(np.ascontiguousarray(values[:, None])), (("inputs", line),), ()
    if values.ndim == 4:
        values = as_bytes(values, file)
        if values.shape[1] not in (1, 3) and values.shape[3] in (1, 3):
            values = values.transpose(0, 3, 1, 2)
        line = "x".join(map(str, values.shape[1:]))
        return torch.from_numpy(np.ascontiguousarray(values)), (("inputs", f"images of {line}"),), ()
    if values.ndim not in (2, 3):
        raise DataError(f"{file}: inputs have shape {values.shape}; tables have 2 dimensions, sequences 3, images 4")
    floats, notes = as_floats(values, [f"column {index}" for index in range(values.shape[-1])])
    if values.ndim == 2:
        return torch.from_numpy(floats), (("inputs", f"a table of {amount(values.shape[1], 'column')}"),), notes
    line = f"sequences of {amount(values.shape[1], 'step')} with {amount(values.shape[2], 'number')} each"
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


def as_bytes(values: np.ndarray, file: Path) -> np.ndarray:
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
