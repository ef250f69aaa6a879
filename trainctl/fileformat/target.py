"""Read the target column of a table, as classes or values. Imports no torch."""

from collections.abc import Sequence

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.delimited import NUMBER
from trainctl.fileformat.label import MOST_CLASSES, Codes, Guessed, distinct
from trainctl.fileformat.number import PLAIN, NumberFormat, read_number
from trainctl.fileformat.table import Table, is_missing, is_no_number, numbers, short
from trainctl.wording import amount, listed

NO_CLASS = -1  # the target of a row whose class is missing
MOST_LIKELY_CLASSES = 1000  # with more distinct numbers, nobody means classes
SHOWN = 20  # class names in a message


def read_target(
    table: Table, column: str, task: str, class_names: Sequence[str] | None = None, form: NumberFormat = PLAIN
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a column as targets, and the names of its classes (none for regression).

    Args:
        table: The cells of the file.
        column: The name of the column.
        task: ``auto``, ``classification`` or ``regression``.
        class_names: The classes that a finished run was trained with; None for a new run, which takes those of the file.
        form: How numbers of the column are written.

    Returns:
        Classes ``(N,)`` as int64, ``NO_CLASS`` where one is missing; or values ``(N,)``, NaN where one is missing.

    Raises:
        DataError: If the column has no valid targets; names line and column.
    """
    cells = table.cells(column)
    present = [cell for cell in cells if not is_missing(cell)]
    if not present:
        raise DataError(f"{table.path}, column {column}: has no value in {amount(len(cells), 'row')}")
    if (guess_task(present, form).task if task == "auto" else task) == "regression":
        return numbers(table, column, form), ()
    names = classes(present) if class_names is None else tuple(class_names)
    if len(names) < 2:
        raise DataError(
            f"{table.path}, column {column}: has only one class ({short(names[0])}); there is nothing to learn"
        )
    codes = Codes(names)
    targets = []
    for row, cell in enumerate(cells):
        code = codes.get(cell)
        if code is None and not is_missing(cell):
            raise table.error(
                row, column, f"{short(cell)} is not one of the run's classes ({listed(names, most=SHOWN)})"
            )
        targets.append(NO_CLASS if code is None else code)
    return np.array(targets, dtype=np.int64), names


def guess_task(present: Sequence[str], form: NumberFormat = PLAIN) -> Guessed:
    """Return the task that the cells of a target suggest.

    >>> guess_task(["3", "3", "4", "4"]).task, guess_task(["1.5", "2"]).task, guess_task(["a", "b"])
    ('classification', 'regression', Guessed(task='classification', reason='', other=''))
    """
    values = [read_number(cell, form) for cell in present]
    numeric = sum(value is not None for value in values)
    if 2 * numeric > len(values):
        values = [value for cell, value in zip(present, values, strict=True) if not is_no_number(cell)]
    if any(value is None for value in values):
        if 2 * numeric > len(values) and len(distinct(present)) > MOST_CLASSES:
            return Guessed("regression")  # which rejects cells that are no numbers
        return Guessed("classification")
    amounts = set(values)
    if not all(value is not None and value.is_integer() for value in amounts):
        return Guessed("regression", "its numbers have decimals")
    repeated = 2 * len(amounts) <= len(values)
    if len(amounts) <= MOST_CLASSES and repeated:
        change = "dataset.task=regression"
        return Guessed(
            "classification", f"its few whole numbers are treated as classes; to predict quantities: {change}", change
        )
    change = "dataset.task=classification"
    reason = f"its whole numbers have {len(amounts):,} distinct values; as classes: {change}"
    return Guessed("regression", reason, change if repeated and len(amounts) <= MOST_LIKELY_CLASSES else "")


def reason_of(table: Table, names: Sequence[str], task: str, form: NumberFormat = PLAIN) -> Guessed:
    """Return why targets have the task that they have.

    Args:
        table: The file.
        names: Of the targets.
        task: The setting: ``auto``, ``classification`` or ``regression``.
        form: How numbers of the first target are written.
    """
    if len(names) > 1:
        return Guessed("regression", "one output for each target")
    if task != "auto":
        return Guessed(task, f"as dataset.task={task} says")
    return guess_task([cell for cell in table.cells(names[0]) if not is_missing(cell)], form)


def classes(present: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct labels, sorted; by value if all are numbers.

    >>> classes(["10", "9", "9.0"]), classes(["b", "a", "9"])
    (('9', '10'), ('9', 'a', 'b'))
    """
    different = distinct(present)
    return tuple(sorted(different, key=float) if all(map(NUMBER.fullmatch, different)) else different)
