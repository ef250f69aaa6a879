"""Read CSV files and convert their cells to numbers; errors name file, line and column. Imports no torch."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.charset import decode
from trainctl.fileformat.date import read_days
from trainctl.fileformat.delimited import MARKS, NUMBER, Rows, header_of, split_rows
from trainctl.fileformat.json_table import read_records
from trainctl.fileformat.number import INFINITE, MINUS, PLAIN, NumberFormat, read_number, split_cell
from trainctl.fileformat.unpacked import ending, read_unpacked

# What means that there is no value, compared in lower case: empty cells, words, and the errors of spreadsheets.
MISSING = frozenset({
    "", "na", "n/a", "nan", "-nan", "null", "none", "?", "#n/a", "#na", "<na>", "nat", "n.a.", "\\n", "#value!",
    "#div/0!", "#ref!", "#num!", "#null!", "#name?", "1.#qnan", "-1.#ind",
})  # fmt: skip
JSON = frozenset({".json", ".jsonl", ".ndjson"})
LARGEST = float(np.finfo(np.float32).max)
EXACT = 2.0**24  # float32 represents every whole number up to this one


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """How a file is written: what the settings of a data set say; ``auto`` is found out.

    Args:
        delimiter: What separates the cells, a word of ``DELIMITERS``.
        encoding: Of the characters, one of ``ENCODINGS``.
        header: Whether the first row contains the names of the columns.
        decimal: The decimal mark: ``auto``, ``point`` or ``comma``.
        thousands: The mark between groups of digits: ``auto`` or a word of ``THOUSANDS``.
        dates: ``day_first`` or ``month_first``, for dates such as 1/2/2024; ``auto``.
        missing: Further words that mean a missing value; numbers are compared as numbers.
        skip: Numbers of lines that are not read.
        ignore_case: Whether texts that differ only in upper and lower case or in spaces are one value.
    """

    delimiter: str = "comma"
    encoding: str = "auto"
    header: bool = True
    decimal: str = "auto"
    thousands: str = "auto"
    dates: str = "auto"
    missing: tuple[str, ...] = ()
    skip: tuple[int, ...] = ()
    ignore_case: bool = False


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


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file, stripped of surrounding spaces.

    Args:
        path: The file.
        header: The names of the columns, all distinct.
        rows: The cells of each row, as many as in the header.
        lines: The line of the file at which each row starts, counted from 1.
        nameless: Columns without a name in the header, often an index; they are named ``column_1`` etc. by position.
        form: How the file is written; its delimiter is the one that was found.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    nameless: tuple[str, ...] = ()
    form: TableFormat = field(default_factory=TableFormat)

    def cells(self, name: str) -> list[str]:
        """Return a column's cells.

        Raises:
            DataError: If there is no such column.
        """
        if name not in self.header:
            close = get_close_matches(name, self.header, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            if sum(NUMBER.fullmatch(cell) is not None for cell in self.header) * 2 > len(self.header):
                hint = "; line 1 seems to be data: add a line with names, or set dataset.header=false (column_1, ...)"
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
    """Return whether a cell has no value: empty, NA, N/A, NaN, null, None, ``?``, or a spreadsheet's error, in any case."""
    return cell.lower() in MISSING


def is_no_number(cell: str) -> bool:
    """Return whether a cell has no value in a column of numbers or dates, where dashes and dots also mean that."""
    return cell in MINUS or is_missing(cell)


def read_table(path: Path, form: TableFormat | str = "comma") -> Table:
    """Read a CSV file, perhaps packed, or JSON records.

    Args:
        path: The file.
        form: How it is written, or its delimiter alone.

    Raises:
        DataError: With line and column, if it is not such a file.
    """
    form = TableFormat(delimiter=form) if isinstance(form, str) else form
    content = read_unpacked(path)
    text = decode(content, path, form.encoding)
    records = read_records(text, path) if ending(path) in JSON or text.lstrip()[:1] in ("[", "{") else None
    rows = records or split_rows(text, path, form.delimiter, form.skip)
    if not form.header and rows.cells and not records:
        first = [f"column_{number}" for number in range(1, len(rows.cells[0]) + 1)]
        rows = Rows([first, *rows.cells], [1, *rows.lines], rows.delimiter)
    if len(rows.cells) < 2:
        raise DataError(
            f"{path}: needs a header and at least one row, {'has only a header' if rows.cells else 'but is empty'}"
        )
    header = header_of(rows, path)
    nameless = tuple(name for name, typed in zip(header, rows.cells[0], strict=True) if not typed)
    cells = _without_missing(rows.cells[1:], form.missing) if form.missing else rows.cells[1:]
    found = TableFormat(**vars(form) | {"delimiter": rows.delimiter})
    return Table(path, header, _one_spelling(cells) if form.ignore_case else cells, rows.lines[1:], nameless, found)


def _without_missing(rows: Sequence[Sequence[str]], words: Sequence[str]) -> list[list[str]]:
    """Return the cells, empty where one is a word that means a missing value, or equals it as a number."""
    texts = {word.strip() for word in words}
    values = {value for word in texts if (value := read_number(word)) is not None}

    def missing(cell: str) -> bool:
        return cell in texts or (bool(values) and (value := read_number(cell)) is not None and value in values)

    return [["" if missing(cell) else cell for cell in cells] for cells in rows]


def _one_spelling(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the cells, each text in that of its spellings which its column has most often."""
    columns = []
    for cells in zip(*rows, strict=True):
        usual: dict[str, str] = {}
        for cell, _ in Counter(cells).most_common():
            usual.setdefault(folded(cell), cell)
        columns.append([usual[folded(cell)] for cell in cells])
    return [list(cells) for cells in zip(*columns, strict=True)]


def folded(cell: str) -> str:
    """Return a text without what makes another spelling of it: upper case, and spaces beyond one.

    >>> folded("New  York") == folded("new york")
    True
    """
    return " ".join(cell.casefold().split())


def short(cell: str) -> str:
    """Quote a cell, truncated if it is long."""
    return repr(cell if len(cell) <= 40 else f"{cell[:37]}...")


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
        others = f"skip its line with dataset.skip=[{line}]" if row in (0, len(table.rows) - 1) else ""
        what = {0: " (a line of units?)", len(table.rows) - 1: " (a line of totals?)"}.get(row, "")
        return f"{what}; a word for a missing value is named in dataset.missing=[{cell[:40]}]" + f"; {others}" * bool(others)
    unit = parts[2]
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
    positions = {category: position for position, category in enumerate(column.categories)}
    if table.form.ignore_case:
        positions = {folded(category): position for category, position in positions.items()} | positions
    cells = table.cells(column.name)
    values = np.zeros((len(cells), len(column.categories)))
    for row, cell in enumerate(cells):
        position = positions.get(cell, positions.get(folded(cell)) if table.form.ignore_case else None)
        if position is not None:
            values[row, position] = 1
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
                " reads it as none of them",
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
    """Return a line for each column with categories that the training data did not have.

    >>> unseen_note({"colour": Counter({"violet": 2})})
    ["column colour: 'violet' in 2 rows is none of the training data's categories, and is read as none of them"]
    """
    lines = []
    for name, counts in unseen.items():
        shown = ", ".join(short(cell) for cell, _ in counts.most_common(5))
        shown += ", ..." * (len(counts) > 5)
        rows = counts.total()
        verb = "is" if len(counts) == 1 else "are"
        lines.append(
            f"column {name}: {shown} in {rows} row{'s' * (rows != 1)} {verb} none of the training data's categories,"
            f" and {verb} read as none of them"
        )
    return lines


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
