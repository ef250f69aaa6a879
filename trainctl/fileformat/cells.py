"""Read the cells of a CSV file, compressed or not, or of JSON records: texts, whose meaning :mod:`trainctl.fileformat.table` finds.

Imports no torch.
"""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.charset import decode
from trainctl.fileformat.decompress import ending, plain, read_unpacked
from trainctl.fileformat.delimited import DELIMITERS, NUMBER, Rows, header_of, split_rows
from trainctl.fileformat.json_table import read_records
from trainctl.fileformat.number import MINUS, read_number
from trainctl.wording import did_you_mean, listed

# What means that there is no value, compared in lower case: empty cells, words, and the errors of spreadsheets.
MISSING = frozenset({
    "", "na", "n/a", "nan", "-nan", "null", "none", "?", "#n/a", "#na", "<na>", "nat", "n.a.", "\\n", "#value!",
    "#div/0!", "#ref!", "#num!", "#null!", "#name?", "1.#qnan", "-1.#ind",
})  # fmt: skip
RECORDS = re.compile(r'\s*(\[\s*\{\s*"|\{\s*")')  # how JSON begins, whatever the file is called
JSON = frozenset({".json", ".jsonl", ".ndjson"})


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """How a file is written: what the settings of a data set say; ``auto`` is found out.

    Args:
        delimiter: What separates the cells, a word of ``DELIMITERS``.
        usual: The delimiter that ``auto`` tries first.
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
    usual: str = "comma"
    encoding: str = "auto"
    header: bool = True
    decimal: str = "auto"
    thousands: str = "auto"
    dates: str = "auto"
    missing: tuple[str, ...] = ()
    skip: tuple[int, ...] = ()
    ignore_case: bool = False


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
        typed: Columns whose values are numbers of JSON or of a program, and not texts that contain numbers.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    nameless: tuple[str, ...] = ()
    form: TableFormat = field(default_factory=TableFormat)
    typed: frozenset[str] = frozenset()

    def cells(self, name: str) -> list[str]:
        """Return a column's cells.

        Raises:
            DataError: If there is no such column.
        """
        if name not in self.header:
            hint = did_you_mean(name, self.header)
            if len(parts := name.split(",")) > 1 and set(parts) <= set(self.header):
                hint = f"; write a list in brackets: [{name}]"
            for own, around in (('"', "'"), ("'", '"')):  # quotes around a whole value are not part of it
                if f"{own}{name}{own}" in self.header:
                    hint = f"; did you mean the column {own}{name}{own}? write it as {around}{own}{name}{own}{around}"
            if sum(NUMBER.fullmatch(cell) is not None for cell in self.header) * 2 > len(self.header):
                hint = "; line 1 seems to be data: add a line with names, or set dataset.header=false (column_1, ...)"
            if len(self.header) == 1 and (other := [word for word in DELIMITERS if DELIMITERS[word] in self.header[0]]):
                hint = f"; the file seems to use another delimiter: dataset.delimiter={other[0]}"
            raise DataError(
                f"{self.path}, line 1: column {name} is missing{hint} (found: {listed(self.header, most=20)})"
            )
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def named(self, setting: str | Sequence[str] | None) -> list[str]:
        """Return the columns that a setting names, which need not exist.

        A setting is read without the quotes around it, and with brackets around it as a list, although both may belong
        to the name of a column. If only the name with them exists, it is meant.
        """
        names = [] if setting is None else [setting] if isinstance(setting, str) else list(setting)
        if set(names) <= set(self.header):
            return names
        wholes = [f"{quote}{setting}{quote}" for quote in "\"'"]
        if not isinstance(setting, str):
            wholes = [f"[{comma.join(names)}]" for comma in (",", ", ")]
        return next(([whole] for whole in wholes if whole in self.header), names)

    def error(self, row: int, name: str, text: str) -> DataError:
        """Create an error that names the line and column of a cell."""
        return DataError(f"{self.path}, line {self.lines[row]}, column {name}: {text}")


# The table that was read last with ``again``, by its file and form; at most one, and whoever reads it next takes it.
READ: dict[str, Table] = {}


def is_missing(cell: str) -> bool:
    """Return whether a cell has no value: empty, NA, N/A, NaN, null, None, ``?``, or a spreadsheet's error, in any case."""
    return cell.lower() in MISSING


def is_no_number(cell: str) -> bool:
    """Return whether a cell has no value in a column of numbers or dates, where dashes and dots also mean that."""
    return cell in MINUS or is_missing(cell)


def read_table(
    path: Path, form: TableFormat | str = "comma", content: bytes | None = None, *, again: bool = False
) -> Table:
    """Read a CSV file, perhaps packed, or JSON records.

    Args:
        path: The file.
        form: How it is written, or its delimiter alone.
        content: What is read instead of the file; the path is then a name in messages.
        again: Whether the file will be read again in this way: then that reader gets the same table, unless the file has
            changed. ``trainctl FILE`` finds out what a file contains, and then trains on it.

    Raises:
        DataError: With line and column, if it is not such a file.
    """
    form = TableFormat(delimiter=form) if isinstance(form, str) else form
    if content is not None:
        return _read_table(path, form, plain(path, content))
    key = _version(path, form)
    if (kept := READ.pop(key, None)) is not None:
        return replace(kept, path=path)
    table = _read_table(path, form, read_unpacked(path))
    if again and key == _version(path, form):
        READ.clear()
        READ[key] = table
    return table


def _version(path: Path, form: TableFormat) -> str:
    """Return what identifies the content of a file that is read in some way; its path alone if it cannot be found."""
    with suppress(OSError, ValueError):
        found = path.stat()
        where = f"{found.st_dev}:{found.st_ino} {found.st_size} {found.st_mtime_ns}"
        return f"{where} {form}"
    return f"{path} {form}"


def _read_table(path: Path, form: TableFormat, content: bytes) -> Table:
    text = decode(content, path, form.encoding)
    records = read_records(text, path) if ending(path) in JSON or RECORDS.match(text) else None
    rows = records or split_rows(text, path, form.delimiter, form.skip, form.usual)
    if not form.header and rows.cells and not records:
        first = [f"column_{number}" for number in range(1, len(rows.cells[0]) + 1)]
        rows = Rows([first, *rows.cells], [1, *rows.lines], rows.delimiter)
    if len(rows.cells) < 2:
        raise DataError(f"{path}: needs a header and at least one row{'' if rows.cells else '; it is empty'}")
    header = header_of(rows, path)
    nameless = tuple(name for name, typed in zip(header, rows.cells[0], strict=True) if not typed)
    cells = without_missing(rows.cells[1:], form.missing) if form.missing else rows.cells[1:]
    found = TableFormat(**vars(form) | {"delimiter": rows.delimiter})
    cells = _one_spelling(cells) if form.ignore_case else cells
    return Table(path, header, cells, rows.lines[1:], nameless, found, rows.typed)


def without_missing(rows: Sequence[Sequence[str]], words: Sequence[str]) -> list[list[str]]:
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
