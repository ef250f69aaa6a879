"""Find inputs and targets among the arrays of an .npz, by the names that Keras, scikit-learn and MedMNIST use. No torch."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.array import array_names, read_array

PAIRS = (
    ("inputs", "targets"), ("x", "y"), ("X", "y"), ("X", "Y"), ("data", "target"), ("data", "labels"),
    ("images", "labels"), ("features", "labels"), ("features", "targets"),
)  # fmt: skip
SPLITS = (
    ("x_{}", "y_{}"), ("X_{}", "y_{}"), ("X_{}", "Y_{}"), ("{}_x", "{}_y"), ("{}_X", "{}_y"), ("{}_images", "{}_labels"),
    ("{}_data", "{}_labels"), ("{}_inputs", "{}_targets"), ("inputs_{}", "targets_{}"),
)  # fmt: skip
VALIDATION = ("val", "valid", "validation", "dev")


class Parts(NamedTuple):
    """The arrays of an .npz.

    Args:
        inputs: Of all rows; training rows first, then those for validation, then those for test.
        targets: Of all rows.
        val_rows: How many rows are the file's own validation split.
        test_rows: How many are its own test split.
        taken: Which arrays were taken as which splits, for the user; empty for inputs and targets.
    """

    inputs: np.ndarray
    targets: np.ndarray
    val_rows: int
    test_rows: int
    taken: str = ""


def read_parts(file: Path) -> Parts:
    """Read inputs and targets.

    Raises:
        DataError: If there are no arrays with such names, or those of a split do not have the shape of the others.
    """
    names = array_names(file)
    for x, y in SPLITS:
        pairs = [(x.format(part), y.format(part)) for part in ("train", *VALIDATION, "test")]
        found = [(one, two) for one, two in pairs if one in names and two in names]
        if found and found[0] == pairs[0]:
            return _joined(file, found, pairs[-1])
    pair = next((pair for pair in PAIRS if set(pair) <= set(names)), PAIRS[0])
    return Parts(
        read_array(file, pair[0], alone=False), read_array(file, pair[1], alone=False, texts=True), 0, 0,
        "" if pair == PAIRS[0] else f"none; inputs are `{pair[0]}`, targets are `{pair[1]}`",
    )  # fmt: skip


def read_inputs(file: Path) -> np.ndarray:
    """Read the inputs alone, of an .npz by the same names, or of an .npy; of several splits, one after the other.

    Raises:
        DataError: If there is no array with such a name.
    """
    names = array_names(file) if file.suffix.lower() == ".npz" else ()
    if "inputs" in names or len(names) < 2:
        return read_array(file)
    if name := next((x for x, _ in PAIRS if x in names), ""):
        return read_array(file, name)
    if any(x.format("train") in names and y.format("train") in names for x, y in SPLITS):
        return read_parts(file).inputs
    return read_array(file)


def _joined(file: Path, found: list[tuple[str, str]], test: tuple[str, str]) -> Parts:
    """Return the arrays of several splits as one data set."""
    arrays = [(read_array(file, x, alone=False), read_array(file, y, alone=False, texts=True)) for x, y in found]
    for (x, y), (inputs, targets) in zip(found, arrays, strict=True):
        if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
            raise DataError(f"{file}: `{x}` has shape {inputs.shape}, `{y}` {targets.shape}: each row needs one target")
        if inputs.shape[1:] != arrays[0][0].shape[1:] or targets.shape[1:] != arrays[0][1].shape[1:]:
            raise DataError(f"{file}: `{x}` and `{found[0][0]}`, or their targets, have rows of different shapes")
    sizes = {pair: len(inputs) for pair, (inputs, _) in zip(found, arrays, strict=True)}
    validation = sum(size for pair, size in sizes.items() if pair not in (found[0], test))
    return Parts(
        np.concatenate([inputs for inputs, _ in arrays]),
        np.concatenate([targets for _, targets in arrays]),
        validation,
        sizes.get(test, 0),
        f"as the file has them: {', '.join(x for x, _ in found)}",
    )
