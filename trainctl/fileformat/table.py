"""A CSV file -> its cells -> numbers, every mistake named by file, line and column. Imports no torch."""

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
from trainctl.fileformat.place import check_file

MARKS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})  # compared in lower case
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ]\d{1,2}:\d{2}.*)?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})( .*)?|\d{1,2}:\d{2}(:\d{2}.*)?",
    re.ASCII,
)
LARGEST = float(np.finfo(np.float32).max)
EXACT = 2.0**24  # up to here float32 holds every whole number
# A column of texts holds categories if they are few, or each comes again and again; else it is free text.
FEW, MOST, OFTEN = 10, 100, 3


@dataclass(frozen=True)
class Column:
    """A column of a table that a model reads.

    Args:
        name: As in the file's header.
        categories: Its values, sorted, each of which becomes a number 0 or 1; empty for a column of numbers.
    """

    name: str
    categories: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Name the numbers that it becomes: ``age``, or ``city=Bern``, ``city=Ulm``."""
        return tuple(f"{self.name}={category}" for category in self.categories) or (self.name,)


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file, stripped of blanks around them.

    Args:
        path: Of the file.
        header: Names of the columns, each once.
        rows: Cells of each row, as many as the header has.
        lines: Line of the file at which each row starts, from 1.
        nameless: Columns that the header leaves empty, often an index; called ``column_1`` by their place.
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
                hint = f"; is the delimiter another? dataset.delimiter={other[0]}"
            raise DataError(
                f"{self.path}, line 1: column {name} is missing{hint} (choose from: {', '.join(self.header)})"
            )
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def error(self, row: int, name: str, text: str) -> DataError:
        """Return an error that names the place of a cell."""
        return DataError(f"{self.path}, line {self.lines[row]}, column {name}: {text}")


def is_missing(cell: str) -> bool:
    """Say whether a cell holds no value: empty, NA, N/A, NaN, null, None or ``?``, in any case."""
    return cell.lower() in MISSING


def read_table(path: Path, delimiter: str = "comma") -> Table:
    """Read a CSV file with a header: UTF-8, with or without a byte order mark; empty lines are passed over.

    Args:
        path: The file.
        delimiter: ``comma``, ``semicolon``, ``tab`` or ``pipe``.

    Raises:
        DataError: By line and column, if it is not such a file.
    """
    lines, rows = [], []
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=MARKS[delimiter], strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                lines.append(start)
                rows.append([cell.strip() for cell in cells])
            start = reader.line_num + 1
    except csv.Error as error:
        reason = "a quote is opened and never closed" if "end of data" in str(error) else str(error)
        raise DataError(f"{path}, line {start}: cannot be read as CSV: {reason}") from error
    if len(rows) < 2:
        raise DataError(f"{path}: needs a header and at least one row{'' if rows else '; it is empty'}")
    header = [name or f"column_{place}" for place, name in enumerate(rows[0], 1)]
    if doubles := [name for name, count in Counter(header).items() if count > 1]:
        raise DataError(f"{path}, line 1: column {doubles[0]} is there twice")
    for line, cells in zip(lines[1:], rows[1:], strict=True):
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: has {len(cells)} cells, the header has {len(header)}")
    nameless = tuple(name for name, given in zip(header, rows[0], strict=True) if not given)
    return Table(path, header, rows[1:], lines[1:], nameless)


def read_text(path: Path) -> str:
    """Read a text file as UTF-8.

    Raises:
        DataError: If it cannot be read, holds a NUL byte or another encoding; by line.
    """
    check_file(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}, line 1: cannot be read as CSV: it is UTF-16; save it as UTF-8")
    if (place := content.find(b"\0")) >= 0:
        line = content.count(b"\n", 0, place) + 1
        raise DataError(f"{path}, line {line}: cannot be read as CSV: holds a NUL byte")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: cannot be read as CSV: byte {content[error.start]:#04x} is not UTF-8; save it as UTF-8"
        ) from error


def find_columns(table: Table, names: Sequence[str], categorical: Sequence[str]) -> tuple[Column, ...]:
    """Tell numbers from categories; refuse dates and free text.

    A column is of numbers if most of its cells are; else of categories, if there are at most 10, or at most 100
    that come 3 times each on average. What is named in ``categorical`` is, whatever it looks like.

    Raises:
        DataError: By line and column, where a column is neither.
    """
    return tuple(_find(table, name, given=name in categorical) for name in names)


def _find(table: Table, name: str, *, given: bool) -> Column:
    cells = table.cells(name)
    if name in table.nameless:
        raise DataError(
            f"{table.path}, line 1: {name} has no name in the header; an index? leave it out with dataset.drop=[{name}]"
        )
    present = [(row, cell) for row, cell in enumerate(cells) if not is_missing(cell)]
    if not present:
        raise DataError(
            f"{table.path}, column {name}: holds no value in {len(cells)} rows; leave it out with dataset.drop=[{name}]"
        )
    different = sorted({cell for _, cell in present})
    if given:
        return Column(name, tuple(different))
    numeric = sum(NUMBER.fullmatch(cell) is not None or INFINITE.fullmatch(cell) is not None for _, cell in present)
    if 2 * numeric > len(present):
        return Column(name)
    row, cell = present[0]
    out = f"leave it out with dataset.drop=[{name}]"
    if all(DATE.fullmatch(cell) for _, cell in present[:100]):
        raise table.error(row, name, f"{cell!r} is a date or a time; {out}, or put numbers (days, hours) in its place")
    if NUMBER.fullmatch(cell.replace(",", ".")) and "," in cell:
        raise table.error(row, name, f"{cell!r} is not a number: decimals need a point")
    if len(different) <= FEW or (len(different) <= MOST and OFTEN * len(different) <= len(present)):
        return Column(name, tuple(different))
    raise table.error(
        row,
        name,
        f"{short(cell)} is free text ({len(different)} different ones in {len(present)} rows); {out}, name it in"
        f" dataset.categorical=[{name}], or use dataset=text",
    )


def short(cell: str) -> str:
    """Quote a cell, the end of a long one left out."""
    return repr(cell if len(cell) <= 40 else f"{cell[:37]}...")


def number(table: Table, row: int, name: str, cell: str) -> float:
    """Return a cell's number, NaN if it is missing.

    Raises:
        DataError: If it holds text, or a number that float32 cannot.
    """
    if is_missing(cell):
        return math.nan
    if INFINITE.fullmatch(cell):
        raise table.error(row, name, f"{cell!r} is infinite; leave the cell empty if the value is missing")
    if not NUMBER.fullmatch(cell):
        hint = ": decimals need a point" if NUMBER.fullmatch(cell.replace(",", ".")) else ""
        raise table.error(row, name, f"{short(cell)} is not a number{hint}")
    value = float(cell)
    if abs(value) > LARGEST:
        raise table.error(row, name, f"{cell} is beyond the largest number, {LARGEST:.2g}")
    return value


def numbers(table: Table, name: str) -> np.ndarray:
    """Return a column of numbers ``(N,)`` in float64, NaN where one is missing."""
    return np.array([number(table, row, name, cell) for row, cell in enumerate(table.cells(name))])


def one_hot(table: Table, column: Column) -> np.ndarray:
    """Return ``(N, categories)``: 1 for a row's category, 0 for the others; NaN in all where it is missing.

    Raises:
        DataError: Where a cell is none of the categories.
    """
    places = {category: place for place, category in enumerate(column.categories)}
    cells = table.cells(column.name)
    values = np.zeros((len(cells), len(places)))
    for row, cell in enumerate(cells):
        if cell in places:
            values[row, places[cell]] = 1
        elif is_missing(cell):
            values[row] = np.nan
        else:
            some = ", ".join(column.categories[:20])
            raise table.error(
                row, column.name, f"{short(cell)} is none of the categories of the training data ({some})"
            )
    return values


def encode(table: Table, columns: Sequence[Column]) -> np.ndarray:
    """Return the numbers of columns side by side, ``(N, F)`` in float64, NaN where a value is missing.

    Raises:
        DataError: By line and column.
    """
    parts = [
        one_hot(table, column) if column.categories else numbers(table, column.name)[:, None] for column in columns
    ]
    return np.concatenate(parts, axis=1)


def narrow(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return numbers ``(N, F)`` in float32, and a note for each column in which different numbers become equal.

    >>> narrow(np.array([[16777216.0, 1.0], [16777217.0, 2.0]]), ["id", "n"])[1]
    ('column id: 2 different numbers become 1 in float32, which keeps 7 digits: subtract a constant, or leave it out',)
    """
    notes, narrowed = [], values.astype(np.float32)
    for place in (np.abs(np.nan_to_num(values)).max(0) >= EXACT).nonzero()[0]:
        before, after = (len(np.unique(column[:, place])) for column in (values, narrowed))
        if after < before:
            notes.append(
                f"column {names[place]}: {before} different numbers become {after} in float32, which keeps 7 digits:"
                " subtract a constant, or leave it out"
            )
    return narrowed, tuple(notes)
