"""Rows in memory, such as JSON objects or those of a data frame -> a table as a file would give it. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.cells import Table, is_missing
from trainctl.wording import did_you_mean, listed

LARGEST_INTEGER = 4096  # bits; float64 has numbers of 1024


@dataclass(frozen=True)
class Records(Table):
    """The cells of records; messages name their row, counted from 0, instead of the line of a file."""

    def cells(self, name: str) -> list[str]:
        """Return a column's cells.

        Raises:
            DataError: If there is no such column.
        """
        if name not in self.header:
            hint = did_you_mean(name, self.header)
            raise DataError(f"{self.path}: column {name} is missing{hint} (found: {listed(self.header, most=20)})")
        return super().cells(name)

    def error(self, row: int, name: str, text: str) -> DataError:
        """Create an error that names the row and column of a cell."""
        return DataError(f"{self.path}, row {row}, column {name}: {text.partition('; if this is a line of')[0]}")


def from_records(records: Sequence[Mapping[str, object]], name: str) -> Records:
    """Return records as a table; a column that a record lacks is empty there.

    Args:
        records: Each maps names of columns to values: texts, numbers, booleans, dates, or None and NaN for missing ones.
        name: What they are called in messages.

    Raises:
        DataError: If there are none, or a value is a list or an object.

    >>> found = from_records([{"x": 1.5, "y": "a"}, {"x": None, "y": "b"}], "rows")
    >>> found.header, found.rows, found.typed
    (['x', 'y'], [['1.5', 'a'], ['', 'b']], frozenset({'x'}))
    """
    header = list(dict.fromkeys(str(key) for record in records for key in record))
    if not records or not header:
        raise DataError(f"{name}: expected at least one row with named values")
    columns = [[record.get(key) for record in _named(records)] for key in header]
    rows = [[_cell(value, f"{name}, row {row}, column {key}") for row, value in enumerate(column)]
            for key, column in zip(header, columns, strict=True)]  # fmt: skip
    typed = {
        key
        for key, column, cells in zip(header, columns, rows, strict=True)
        if any(map(_is_number, column))
        and all(_is_number(value) or is_missing(cell) for value, cell in zip(column, cells, strict=True))
    }
    cells = [list(row) for row in zip(*rows, strict=True)]
    return Records(Path(name), header, cells, list(range(len(cells))), typed=frozenset(typed))


def _named(records: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    return [{str(key): value for key, value in record.items()} for record in records]


def _is_number(value: object) -> bool:
    plain = _plain(value)
    if isinstance(plain, float):
        return not math.isnan(plain)
    return isinstance(plain, int) and not isinstance(plain, bool)  # one of any size: math.isnan would raise for 10**400


def _plain(value: object) -> object:
    """Return a scalar of NumPy as Python's, and an array as a list."""
    return value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "tolist") else value


def _cell(value: object, where: str) -> str:
    """Return a value as the text that a CSV file would have.

    Raises:
        DataError: If it has parts.
    """
    value = _plain(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Mapping | list | tuple | set):
        raise DataError(
            f"{where}: contains {'an object' if isinstance(value, Mapping) else 'a list'}; expected one value"
        )
    if isinstance(value, int) and value.bit_length() > LARGEST_INTEGER:
        raise DataError(f"{where}: a number of more than {LARGEST_INTEGER:,} bits")  # Python refuses to write it
    if isinstance(value, float):
        return repr(value)
    with reading(where, what="cannot be written as a text"):  # an object of any class
        if callable(written := getattr(value, "isoformat", None)):
            return str(written()).removesuffix("T00:00:00")
        return str(value)
