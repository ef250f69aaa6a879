"""Convert the cells of a table to numbers; errors name file, line and column. Imports no torch."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainctl.fileformat.cells import Table, folded, is_missing, is_no_number, short
from trainctl.fileformat.date import read_days
from trainctl.fileformat.label import Codes
from trainctl.fileformat.number import INFINITE, PLAIN, NumberFormat, read_number, split_cell
from trainctl.wording import amount, typed

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """A column of a table, as an input of a model.

    Args:
        name: The name in the file's header.
        categories: The distinct values, sorted, each encoded as 0 or 1; empty for a column of numbers.
        number: How its numbers are written.
        date: How its dates are written, as ``find_order`` returns it; empty if it contains no dates.
        origin: The first date of the training file, from which dates are counted [days since 0001-01-01].
    """

    name: str
    categories: tuple[str, ...] = ()
    number: NumberFormat = PLAIN
    date: str = ""
    origin: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the encoded columns: ``age``, or ``city=Bern``, ``city=Ulm``."""
        return tuple(f"{self.name}={category}" for category in self.categories) or (self.name,)


def number(table: Table, row: int, name: str, cell: str, form: NumberFormat = PLAIN) -> float:
    """Return the number in a cell, NaN if it is missing.

    Raises:
        DataError: If it is not a number in this format, or one beyond the range of float32.
    """
    value = read_number(cell, form)
    if value is None:
        if is_no_number(cell):
            return math.nan
        if INFINITE.fullmatch(cell):
            raise table.error(row, name, f"{cell!r} is infinite; leave the cell empty if the value is missing")
        raise table.error(row, name, f"{short(cell)} is not a number{_hint(table, row, cell, form)}")
    if abs(value) > LARGEST:
        raise table.error(row, name, f"{short(cell)} exceeds the largest number, {LARGEST:.2g}")
    return value


def _hint(table: Table, row: int, cell: str, form: NumberFormat) -> str:
    """Return what a cell may be that is no number in the format of its column, and the setting that helps."""
    line = table.lines[row]
    parts = split_cell(cell)
    if parts is None:
        if row in (0, len(table.rows) - 1):
            what = "units" if row == 0 else "totals"
            return f"; if this is a line of {what}, skip it with dataset.skip=[{line}]"
        return f"; if it means a missing value, set {typed('dataset.missing', [cell[:40]])}"
    _, _, scale, unit = parts
    if scale and not form.scaled:
        unit = f"{scale}{unit}"
    if unit != form.unit and (form.unit == "%" or unit):
        return f" {f'in {form.unit}' if form.unit else 'without a unit'}, as the other cells of this column are"
    usual = f"; the numbers of this column are read as in {form}" if str(form) else ""
    mark = "," if "," in cell else "." if "." in cell else ""
    others = "point" if form.decimal == "," else "comma"
    keys = f": if {mark!r} marks thousands, set dataset.thousands={'comma' if mark == ',' else 'point'}; if decimals,"
    return usual + (f"{keys} dataset.decimal={others}" if mark else "")


def numbers(table: Table, name: str, form: NumberFormat = PLAIN) -> np.ndarray:
    """Return a column of numbers ``(N,)`` in float64, NaN where one is missing."""
    return np.array([number(table, row, name, cell, form) for row, cell in enumerate(table.cells(name))])


def days(table: Table, column: Column) -> np.ndarray:
    """Return a column of dates ``(N,)`` in float64, as days since the column's origin; NaN where one is missing.

    Times of day become hours since midnight.

    Raises:
        DataError: If a cell is not a date.
    """
    values = []
    for row, cell in enumerate(table.cells(column.name)):
        value = math.nan if is_no_number(cell) else read_days(cell, column.date)
        if value is None:
            kind = "a time of day" if column.date == "time" else "a date"
            raise table.error(row, column.name, f"{short(cell)} is not {kind}, as the other cells of this column are")
        values.append(24 * value if column.date == "time" else value - column.origin)
    return np.array(values)


Unseen = dict[str, Counter[str]]  # by column, categories that the training data did not have


def one_hot(table: Table, column: Column, unseen: Unseen | None = None) -> np.ndarray:
    """Return ``(N, categories)``: 1 for the category of a row, 0 for the others; NaN for all if it is missing.

    Args:
        table: The file.
        column: With categories.
        unseen: Counts cells that are not one of the categories, whose rows have zeros; None: they are an error.

    Raises:
        DataError: If a cell is not one of the categories.
    """
    codes = Codes(column.categories)
    alike = Codes([*map(folded, column.categories)]) if table.form.ignore_case else None
    cells = table.cells(column.name)
    values = np.zeros((len(cells), len(column.categories)))
    for row, cell in enumerate(cells):
        code = codes.get(cell)
        if code is None and alike:
            code = alike.get(folded(cell))
        if code is not None:
            values[row, code] = 1
        elif is_missing(cell):
            values[row] = np.nan
        elif unseen is not None:
            unseen.setdefault(column.name, Counter())[cell] += 1
        else:
            first = ", ".join(column.categories[:20])
            raise table.error(
                row,
                column.name,
                f"{short(cell)} is not one of the categories in the training data ({first}); dataset.unknown=ignore"
                " encodes it as no category",
            )
    return values


def encode(table: Table, columns: Sequence[Column], unseen: Unseen | None = None) -> np.ndarray:
    """Return the numbers of all columns, ``(N, F)`` in float64, NaN where a value is missing.

    Args:
        table: The file.
        columns: What its columns contain.
        unseen: Counts the categories that no column knows, whose numbers are all 0; None: they are an error.

    Raises:
        DataError: With line and column, if a cell is not a number or not one of the categories.
    """
    parts = [
        one_hot(table, column, unseen)
        if column.categories
        else (days(table, column) if column.date else numbers(table, column.name, column.number))[:, None]
        for column in columns
    ]
    return np.concatenate(parts, axis=1)


def unseen_note(unseen: Unseen) -> list[str]:
    """Return a line for each column with categories that did not occur in the training data.

    >>> unseen_note({"colour": Counter({"violet": 2})})
    ["column colour: 'violet' (2 rows) did not occur in the training data; encoded as no category (all zeros)"]
    """
    lines = []
    for name, counts in unseen.items():
        shown = ", ".join(short(cell) for cell, _ in counts.most_common(5)) + ", ..." * (len(counts) > 5)
        rows = counts.total()
        lines.append(
            f"column {name}: {shown} ({amount(rows, 'row')}) did not occur in the training data; encoded as no"
            " category (all zeros)"
        )
    return lines
