"""Read CSV files and convert their cells to numbers; errors name file, line and column. Imports no torch."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading, reason
from trainctl.fileformat.utf8 import read_text

csv.field_size_limit(2**31 - 1)  # cells of any length; the module's own limit is 128 KiB
MARKS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})  # compared in lower case
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ]\d{1,2}:\d{2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})( .*)?|\d{1,2}:\d{2}(:\d{2}.*)?",
    re.ASCII,
)
LARGEST = float(np.finfo(np.float32).max)
EXACT = 2.0**24  # float32 represents every whole number up to this one
# A column of texts contains categories if few values are distinct or each occurs often; otherwise it is free text.
FEW, MOST, OFTEN = 10, 100, 3


@dataclass(frozen=True)
class Column:
    """A column of a table, as an input of a model.

    Args:
        name: The name in the file's header.
        categories: The distinct values, sorted, each encoded as 0 or 1; empty for a column of numbers.
    """

    name: str
    categories: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the encoded columns: ``age``, or ``city=Bern``, ``city=Ulm``."""
        return tuple(f"{self.name}={category}" for category in self.categories) or (self.name,)


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file, stripped of surrounding spaces.

    Args:
        path: The file.
        header: The names of the columns, all distinct.
        rows: The cells of each row, as many as in the header.
        lines: The line of the file at which each row starts, counted from 1.
        nameless: Columns without a name in the header, often an index; they are named ``column_1`` etc. by position.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    nameless: tuple[str, ...] = ()

    def cells(self, name: str) -> list[str]:
        """Return a column's cells.

        Raises:
            DataError: If there is no such column.
        """
        if name not in self.header:
            close = get_close_matches(name, self.header, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            if len(self.header) == 1 and (other := [word for word in MARKS if MARKS[word] in self.header[0]]):
                hint = f"; the file seems to use another delimiter: dataset.delimiter={other[0]}"
            raise DataError(
                f"{self.path}, line 1: column {name} is missing{hint} (choose from: {', '.join(self.header)})"
            )
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def error(self, row: int, name: str, text: str) -> DataError:
        """Create an error that names the line and column of a cell."""
        return DataError(f"{self.path}, line {self.lines[row]}, column {name}: {text}")


def is_missing(cell: str) -> bool:
    """Return whether a cell has no value: empty, NA, N/A, NaN, null, None or ``?``, in any case."""
    return cell.lower() in MISSING


def read_table(path: Path, delimiter: str = "comma") -> Table:
    """Read a CSV file with a header: UTF-8, with or without a byte order mark; empty lines are skipped.

    Args:
        path: The file.
        delimiter: ``comma``, ``semicolon``, ``tab`` or ``pipe``.

    Raises:
        DataError: If the file is not valid; names line and column.
    """
    content = read_text(path, what="cannot be read as CSV")
    lines, rows, start = [], [], 1

    def explain(error: Exception) -> str | None:
        if not isinstance(error, csv.Error):
            return None
        text = "a quote is opened and never closed" if "end of data" in str(error) else reason(error)
        return f"{path}, line {start}: cannot be read as CSV: {text}"

    with reading(lambda: f"{path}, line {start}", what="cannot be read as CSV", explain=explain):
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=MARKS[delimiter], strict=True)
        for cells in reader:
            if cells:
                lines.append(start)
                rows.append([cell.strip() for cell in cells])
            start = reader.line_num + 1
    if len(rows) < 2:
        raise DataError(f"{path}: needs a header and at least one row{'' if rows else '; it is empty'}")
    header = [name or f"column_{number}" for number, name in enumerate(rows[0], 1)]
    if doubles := [name for name, count in Counter(header).items() if count > 1]:
        raise DataError(f"{path}, line 1: duplicate column {doubles[0]}")
    for line, cells in zip(lines[1:], rows[1:], strict=True):
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: has {len(cells)} cells, but the header has {len(header)}")
    nameless = tuple(name for name, typed in zip(header, rows[0], strict=True) if not typed)
    return Table(path, header, rows[1:], lines[1:], nameless)


def find_columns(table: Table, names: Sequence[str], categorical: Sequence[str]) -> tuple[Column, ...]:
    """Decide for each column whether it contains numbers or categories; reject dates and free text.

    A column is numeric if most of its cells are numbers; otherwise it is categorical, if it has at most 10 distinct
    values, or at most 100 that occur 3 times on average. Columns named in ``categorical`` are always categorical.

    Raises:
        DataError: If a column contains neither; names line and column.
    """
    return tuple(_find(table, name, categorical=name in categorical) for name in names)


def _find(table: Table, name: str, *, categorical: bool) -> Column:
    cells = table.cells(name)
    if name in table.nameless:
        raise DataError(
            f"{table.path}, line 1: {name} has no name in the header (an index?); drop it with dataset.drop=[{name}]"
        )
    present = [(row, cell) for row, cell in enumerate(cells) if not is_missing(cell)]
    if not present:
        raise DataError(
            f"{table.path}, column {name}: has no value in {len(cells)} rows; drop it with dataset.drop=[{name}]"
        )
    distinct = sorted({cell for _, cell in present})
    if categorical:
        return Column(name, tuple(distinct))
    numeric = sum(NUMBER.fullmatch(cell) is not None or INFINITE.fullmatch(cell) is not None for _, cell in present)
    if 2 * numeric > len(present):
        return Column(name)
    row, cell = present[0]
    drop = f"drop it with dataset.drop=[{name}]"
    if all(DATE.fullmatch(cell) for _, cell in present[:100]):
        raise table.error(row, name, f"{cell!r} is a date or a time; {drop}, or replace it with numbers (days, hours)")
    if NUMBER.fullmatch(cell.replace(",", ".")) and "," in cell:
        raise table.error(row, name, f"{cell!r} is not a number: write decimals with a point")
    if len(distinct) <= FEW or (len(distinct) <= MOST and OFTEN * len(distinct) <= len(present)):
        return Column(name, tuple(distinct))
    raise table.error(
        row,
        name,
        f"{short(cell)} is free text ({len(distinct)} distinct values in {len(present)} rows); {drop}, name it in"
        f" dataset.categorical=[{name}], or use dataset=text",
    )


def short(cell: str) -> str:
    """Quote a cell, truncated if it is long."""
    return repr(cell if len(cell) <= 40 else f"{cell[:37]}...")


def number(table: Table, row: int, name: str, cell: str) -> float:
    """Return the number in a cell, NaN if it is missing.

    Raises:
        DataError: If it is not a number, or is outside the range of float32.
    """
    if is_missing(cell):
        return math.nan
    if INFINITE.fullmatch(cell):
        raise table.error(row, name, f"{cell!r} is infinite; leave the cell empty if the value is missing")
    if not NUMBER.fullmatch(cell):
        hint = ": write decimals with a point" if NUMBER.fullmatch(cell.replace(",", ".")) else ""
        raise table.error(row, name, f"{short(cell)} is not a number{hint}")
    value = float(cell)
    if abs(value) > LARGEST:
        raise table.error(row, name, f"{short(cell)} exceeds the largest number, {LARGEST:.2g}")
    return value


def numbers(table: Table, name: str) -> np.ndarray:
    """Return a column of numbers ``(N,)`` as float64, NaN where a value is missing."""
    return np.array([number(table, row, name, cell) for row, cell in enumerate(table.cells(name))])


def one_hot(table: Table, column: Column) -> np.ndarray:
    """Return ``(N, categories)``: 1 for the category of a row, 0 for the others; all NaN if the cell is missing.

    Raises:
        DataError: If a cell is not one of the categories.
    """
    positions = {category: position for position, category in enumerate(column.categories)}
    cells = table.cells(column.name)
    values = np.zeros((len(cells), len(positions)))
    for row, cell in enumerate(cells):
        if cell in positions:
            values[row, positions[cell]] = 1
        elif is_missing(cell):
            values[row] = np.nan
        else:
            first = ", ".join(column.categories[:20])
            raise table.error(
                row, column.name, f"{short(cell)} is not one of the categories in the training data ({first})"
            )
    return values


def encode(table: Table, columns: Sequence[Column]) -> np.ndarray:
    """Return all columns as numbers ``(N, F)`` in float64, NaN where a value is missing.

    Raises:
        DataError: If a cell is not a number or not one of the categories; names line and column.
    """
    parts = [
        one_hot(table, column) if column.categories else numbers(table, column.name)[:, None] for column in columns
    ]
    return np.concatenate(parts, axis=1)


def narrow(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert numbers ``(N, F)`` to float32; also return a note for each column where distinct numbers become equal.

    >>> narrow(np.array([[16777216.0, 1.0], [16777217.0, 2.0]]), ["id", "n"])[1]
    ('column id: 2 distinct numbers become 1 in float32, which keeps 7 digits: subtract a constant, or drop it',)
    """
    notes, narrowed = [], values.astype(np.float32)
    for index in (np.abs(np.nan_to_num(values)).max(0) >= EXACT).nonzero()[0]:
        before, after = (len(np.unique(array[:, index])) for array in (values, narrowed))
        if after < before:
            notes.append(
                f"column {names[index]}: {before} distinct numbers become {after} in float32, which keeps 7 digits:"
                " subtract a constant, or drop it"
            )
    return narrowed, tuple(notes)
