"""An array of targets -> a task, and classes. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.inferred import listed
from trainctl.fileformat.target import MOST_CLASSES, Guessed

MOST_SPARSE = 100  # distinct whole numbers that are classes although they are not 0, 1, 2, ...


class Labels(NamedTuple):
    """Classes ``(N,)`` as int64, and the name of each."""

    codes: np.ndarray
    names: tuple[str, ...]


def is_one_hot(answers: np.ndarray) -> bool:
    """Return whether each row ``(N, K)`` has a single 1, and 0 elsewhere.

    >>> is_one_hot(np.eye(3)), is_one_hot(np.ones((3, 3)))
    (True, False)
    """
    if answers.ndim != 2 or answers.shape[1] < 2 or answers.dtype.kind == "U":
        return False
    return bool(((answers == 0) | (answers == 1)).all() and (answers.sum(1) == 1).all())


def guess_task(answers: np.ndarray) -> Guessed:
    """Return the task that an array of targets suggests.

    >>> guess_task(np.array([0, 1, 1])).task, guess_task(np.array([0.0, 1.0])).task, guess_task(np.eye(2)).task
    ('classification', 'regression', 'regression')
    """
    classes = "dataset.task=classification"
    if is_one_hot(answers):
        other = f"{classes} (targets are one-hot, and it takes the column of the 1, as argmax(1) does)"
        return Guessed("regression", f"as columns of numbers; as one-hot classes: {classes}", other)
    if answers.ndim > 1 and answers.shape[1:] != (1,):
        return Guessed("regression", "one output for each column of the targets")
    if answers.dtype.kind == "U":
        return Guessed("classification")
    values = np.unique(answers[np.isfinite(answers)] if answers.dtype.kind == "f" else answers)
    if answers.dtype.kind in "iub":
        amounts = "dataset.task=regression"
        if len(values) <= MOST_SPARSE or (values[0] == 0 and values[-1] == len(values) - 1):
            reason = "" if answers.dtype.kind == "b" else f"its whole numbers are classes; as amounts: {amounts}"
            return Guessed("classification", reason, amounts)
        return Guessed(
            "regression", f"its whole numbers have {len(values):,} distinct values; as classes: {classes}", classes
        )
    if len(values) and (values == np.rint(values)).all() and len(values) <= max(MOST_CLASSES, MOST_SPARSE):
        return Guessed("regression", f"its numbers are floats, though all are whole; as classes: {classes}", classes)
    return Guessed("regression", "its numbers have decimals")


def as_classes(answers: np.ndarray, file: Path | str, known: Sequence[str] | None = None) -> Labels:
    """Return targets as classes.

    Args:
        answers: Texts, whole numbers ``(N,)`` or ``(N, 1)``, or one-hot rows ``(N, K)``.
        file: For messages.
        known: The classes of a finished run; None: those of the array, in order.

    Raises:
        DataError: If targets are something else, have one class, or one that the run does not know.
    """
    if is_one_hot(answers):
        codes = answers.argmax(1).astype(np.int64)
        return _known(codes.astype(str), file, known or tuple(map(str, range(answers.shape[1]))))
    labels = answers.reshape(len(answers), -1)
    whole = labels.dtype.kind == "U" or (np.isfinite(labels) & (labels == np.rint(labels)) & (np.abs(labels) < 2**53))
    if labels.shape[1] != 1 or not np.all(whole):
        row = 0 if labels.shape[1] != 1 else int((~np.asarray(whole)).any(1).argmax())
        raise DataError(
            f"{file}: target {labels[row].tolist()} in row {row} is not a class; classes are whole numbers or texts, one"
            " for each row, or one-hot rows"
        )
    values = labels[:, 0] if labels.dtype.kind == "U" else labels[:, 0].astype(np.int64)
    if known is not None:
        return _known(values.astype(str), file, known)
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) < 2:
        raise DataError(f"{file}: has only one class ({distinct[0]})")
    if 2 * len(distinct) > len(values) and len(distinct) > MOST_SPARSE:
        raise DataError(
            f"{file}: {len(distinct):,} distinct targets in {len(values):,} rows are too many to be classes;"
            " dataset.task=regression predicts amounts"
        )
    return Labels(codes.reshape(-1).astype(np.int64), tuple(map(str, distinct.tolist())))


def _known(values: np.ndarray, file: Path | str, names: Sequence[str]) -> Labels:
    codes = {name: code for code, name in enumerate(names)}
    for row, value in enumerate(values.tolist()):
        if value not in codes:
            raise DataError(
                f"{file}: target {value} in row {row} is not one of the run's classes ({listed(names, 20)})"
            )
    return Labels(np.array([codes[value] for value in values.tolist()], dtype=np.int64), tuple(names))
