"""Classes and categories: which texts are the same one, and what an array of targets contains. Imports no torch.

``1`` and ``1.0`` are the same, and so are ``True`` and ``true``: a file that was merged from several exports writes one
class in several ways; a number has one value, however it is written. Other texts are compared as they are.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainctl.errors import DataError
from trainctl.wording import listed

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
BOOLEANS = frozenset({"true", "false"})
MOST_CLASSES = 20  # distinct whole numbers in a column; with more, they are treated as quantities
MOST_SPARSE = 100  # distinct whole numbers in an array that are classes although they are not 0, 1, 2, ...


def meaning(text: str) -> Hashable:
    """Return what equal labels have in common: the value of a number, the word of a boolean, or the text itself.

    >>> (
    ...     meaning("1.0") == meaning("1") == meaning("1e0"),
    ...     meaning("TRUE") == meaning("true"),
    ...     meaning("1") == meaning("one"),
    ... )
    (True, True, False)
    """
    if NUMBER.fullmatch(text):
        return Decimal(text)
    return (text.lower(),) if text.lower() in BOOLEANS else text


def distinct(texts: Iterable[str]) -> list[str]:
    """Return the distinct labels, sorted; of several spellings of a label the shortest, or the most frequent of those.

    >>> distinct(["1.0", "1", "0", "0.0", "b"]), distinct(["1.0", "2.0"]), distinct(["true", "True", "true", "no"])
    (['0', '1', 'b'], ['1.0', '2.0'], ['no', 'true'])
    """
    counts = Counter(texts)
    spellings: dict[Hashable, str] = {}
    for text in sorted(counts, key=lambda text: (len(text), -counts[text], text)):
        spellings.setdefault(meaning(text), text)
    return sorted(spellings.values())


class Codes:
    """The number of each label, by any of its spellings.

    Args:
        names: The labels, in their order. Labels that an earlier version took for different ones stay different.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.exact = {name: code for code, name in enumerate(names)}
        self.meanings = {meaning(name): code for code, name in reversed([*enumerate(names)])}

    def get(self, text: str) -> int | None:
        """Return the number of a label; None if it is unknown."""
        code = self.exact.get(text)
        return self.meanings.get(meaning(text)) if code is None else code


class Guessed(NamedTuple):
    """The task that the cells of a target suggest.

    Args:
        task: ``classification`` or ``regression``.
        reason: Why, and the setting that changes it; empty if there is nothing to choose.
        other: The setting that makes it the other task, if the user may well mean that; empty otherwise.
    """

    task: str
    reason: str = ""
    other: str = ""


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


def task_of_array(answers: np.ndarray) -> Guessed:
    """Return the task that an array of targets suggests.

    >>> task_of_array(np.array([0, 1, 1])).task, task_of_array(np.array([0.0, 1.0])).task, task_of_array(np.eye(2)).task
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
            reason = (
                ""
                if answers.dtype.kind == "b"
                else f"its whole numbers are treated as classes; to predict quantities: {amounts}"
            )
            return Guessed("classification", reason, amounts)
        return Guessed(
            "regression", f"its whole numbers have {len(values):,} distinct values; as classes: {classes}", classes
        )
    if len(values) and (values == np.rint(values)).all() and len(values) <= max(MOST_CLASSES, MOST_SPARSE):
        return Guessed("regression", f"its numbers are floats, though all are whole; as classes: {classes}", classes)
    return Guessed("regression", "its numbers have decimals")


def without_class(answers: np.ndarray) -> np.ndarray:
    """Return which rows of an array of targets have no class: a single -1, NaN, or an empty text ``(N,)``.

    >>> without_class(np.array([0, -1, 1])), without_class(np.array(["a", ""]))
    (array([False,  True, False]), array([False,  True]))
    """
    if answers.size != len(answers):
        return np.zeros(len(answers), bool)
    flat = answers.reshape(-1)
    missing: np.ndarray = flat == "" if answers.dtype.kind == "U" else (flat == -1) | (flat != flat)
    return missing


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
        return _known(codes, file, known or tuple(map(str, range(answers.shape[1]))))
    labels = answers.reshape(len(answers), -1)
    whole = labels.dtype.kind in "Ub" or np.abs(labels) < 2**53
    if labels.dtype.kind == "f":
        whole &= np.isfinite(labels) & (labels == np.rint(labels))
    if labels.shape[1] != 1 or not np.all(whole):
        row = 0 if labels.shape[1] != 1 else int((~np.asarray(whole)).any(1).argmax())
        raise DataError(
            f"{file}: target {labels[row].tolist()} in row {row} is not a class; classes are whole numbers or texts, one"
            " for each row, or one-hot rows"
        )
    values = labels[:, 0] if labels.dtype.kind == "U" else labels[:, 0].astype(np.int64, copy=False)
    if known is not None:
        return _known(values, file, known)
    names = distinct(values.tolist()) if values.dtype.kind == "U" else [*map(str, np.unique(values).tolist())]
    if len(names) < 2:
        raise DataError(f"{file}: has only one class ({names[0]})")
    if 2 * len(names) > len(values) and len(names) > MOST_SPARSE:
        raise DataError(
            f"{file}: {len(names):,} distinct targets in {len(values):,} rows are too many to be classes;"
            " dataset.task=regression predicts quantities"
        )
    return _known(values, file, names)


def _known(values: np.ndarray, file: Path | str, names: Sequence[str]) -> Labels:
    different = np.unique(values)
    numbers = Codes(names)
    codes = [numbers.get(str(value)) for value in different.tolist()]
    if None in codes:
        row = min(int((values == value).argmax()) for value, code in zip(different, codes, strict=True) if code is None)
        raise DataError(
            f"{file}: target {values[row]} in row {row} is not one of the run's classes ({listed(names, most=20)})"
        )
    return Labels(np.array(codes, dtype=np.int64)[np.searchsorted(different, values)], tuple(names))
