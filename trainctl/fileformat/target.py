"""Read the target column of a table, as classes or values. Imports no torch."""

from collections.abc import Sequence

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.table import NUMBER, Table, is_missing, numbers, short

NO_CLASS = -1  # the target of a row whose class is missing
MOST_CLASSES = 20  # distinct whole numbers in a column; with more, they are treated as amounts
SHOWN = 20  # class names in a message


def read_target(
    table: Table, column: str, task: str, class_names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a column as targets, and the names of its classes (none for regression).

    Args:
        table: The cells of the file.
        column: The name of the column.
        task: ``auto``, ``classification`` or ``regression``.
        class_names: The classes that a finished run was trained with; None for a new run, which takes those of the file.

    Returns:
        Classes ``(N,)`` as int64, ``NO_CLASS`` where one is missing; or values ``(N,)``, NaN where one is missing.

    Raises:
        DataError: If the column has no valid targets; names line and column.
    """
    cells = table.cells(column)
    present = [cell for cell in cells if not is_missing(cell)]
    if not present:
        raise DataError(f"{table.path}, column {column}: has no value in {len(cells)} rows")
    if (_task(present) if task == "auto" else task) == "regression":
        return numbers(table, column), ()
    names = classes(present) if class_names is None else tuple(class_names)
    if len(names) < 2:
        raise DataError(f"{table.path}, column {column}: has only one class ({short(names[0])})")
    codes = {name: code for code, name in enumerate(names)}
    targets = []
    for row, cell in enumerate(cells):
        if cell not in codes and not is_missing(cell):
            raise table.error(
                row, column, f"{short(cell)} is not one of the run's classes ({', '.join(names[:SHOWN])})"
            )
        targets.append(codes.get(cell, NO_CLASS))
    return np.array(targets, dtype=np.int64), names


def _task(present: Sequence[str]) -> str:
    """Return the task, ``classification`` or ``regression``, that the cells of a target suggest."""
    numeric = [NUMBER.fullmatch(cell) is not None for cell in present]
    if not all(numeric):
        most_are_numbers = 2 * sum(numeric) > len(numeric) and len(set(present)) > MOST_CLASSES
        return "regression" if most_are_numbers else "classification"  # regression rejects cells that are no numbers
    different = {float(cell) for cell in present}
    few = len(different) <= MOST_CLASSES and 2 * len(different) <= len(present)
    return "classification" if few and all(value.is_integer() for value in different) else "regression"


def classes(present: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct cells, sorted; by value if all are numbers.

    >>> classes(["10", "9", "9"]), classes(["b", "a", "9"])
    (('9', '10'), ('9', 'a', 'b'))
    """
    different = sorted(set(present))
    return tuple(sorted(different, key=float) if all(map(NUMBER.fullmatch, different)) else different)
