"""The text of a CSV file -> rows of cells with their lines, as spreadsheets, R, pandas and people write it. No torch."""

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading, reason

MARKS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
DELIMITERS = MARKS | {"space": " "}  # any number of spaces
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's first line
ERROR = re.compile(r"#(n/?a|value!|div/0!|ref!|num!|null!|name\?)", re.IGNORECASE)  # in the cells of spreadsheets
LOOKED_AT = 50  # lines from which a delimiter is guessed
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # cells of any length; the module's own limit is 128 KiB

Line = tuple[int, str]  # its number in the file, from 1, and its text with the end of the line


@dataclass(frozen=True)
class Rows:
    """The rows of a file, the header among them.

    Args:
        cells: Of each row, without spaces around them.
        lines: The line of the file at which each row starts, from 1.
        delimiter: The word for what separates the cells.
        typed: Names of the columns whose values are numbers of JSON, and not texts that contain numbers.
    """

    cells: list[list[str]]
    lines: list[int]
    delimiter: str
    typed: frozenset[str] = frozenset()


def split_rows(text: str, path: Path, delimiter: str = "comma", skip: Sequence[int] = (), usual: str = "comma") -> Rows:
    """Split a text into rows and cells.

    Empty lines, comments (lines that begin with ``#`` before the header, or later with another number of cells) and
    Excel's ``sep=;`` are skipped, and so is what a delimiter at the end of each line would make an empty column.

    Args:
        text: Of the file.
        path: The file, for messages and its suffix.
        delimiter: A word of ``DELIMITERS``; ``auto``: tabs for a .tsv, or else what fits the first lines.
        skip: Numbers of lines to skip.
        usual: What ``auto`` tries first.

    Raises:
        DataError: If a row cannot be read; with its line.
    """
    skipped = frozenset(skip)
    lines: list[Line] = [(n, line) for n, line in enumerate(io.StringIO(text, newline=""), 1) if n not in skipped]
    if lines and (match := SEPARATOR.fullmatch(lines[0][1])):
        named = next((word for word in DELIMITERS if DELIMITERS[word] == match[1]), None)
        delimiter, lines = named or delimiter, lines[1:]
    lines = without_leading_comments(lines)
    if delimiter == "auto":
        delimiter = guess_delimiter(lines, path, usual)
    lines = list(without_comments(lines, delimiter, path))
    cells, starts = parse(lines, path, delimiter)
    drop_trailing(cells)
    return Rows(cells, starts, delimiter)


def parse(lines: Sequence[Line], path: Path, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Return the cells of each row, without spaces around them, and the line at which it starts.

    Raises:
        DataError: If a row cannot be read; with its line.
    """
    rows: list[list[str]] = []
    starts: list[int] = []
    start = 0  # index of the line at which the next row starts
    spaces = delimiter == "space"

    def explain(error: Exception) -> str | None:
        if not isinstance(error, csv.Error):
            return None
        text = reason(error)
        if "end of data" in text:
            text = "a quote is opened and never closed"
        elif "expected after" in text:
            text += '; write a quote inside a quoted cell twice, as in "5"" pipe"'
        return f"{path}, line {lines[min(start, len(lines) - 1)][0]}: cannot be read as CSV: {text}"

    with reading(lambda: f"{path}, line {lines[min(start, len(lines) - 1)][0]}", explain=explain):
        texts = (line.rstrip(" \t") if spaces else line for _, line in lines)
        reader = csv.reader(texts, delimiter=DELIMITERS[delimiter], strict=True, skipinitialspace=spaces)
        for cells in reader:
            if cells:
                starts.append(lines[start][0])
                rows.append([cell.strip() for cell in cells])
            start = reader.line_num
    return rows, starts


def guess_delimiter(lines: Sequence[Line], path: Path, usual: str = "comma") -> str:
    """Return the delimiter with which all of the first lines have equally many cells, at least two; else the comma.

    >>> guess_delimiter([(1, "a;b"), (2, "1,5;2")], Path("x.csv")), guess_delimiter([(1, "a")], Path("x.csv"))
    ('semicolon', 'comma')
    """
    first = "tab" if path.suffix.lower() == ".tsv" else usual
    words = sorted(DELIMITERS, key=lambda word: word != first)
    texts = [line for _, line in lines[:LOOKED_AT]]
    found = [
        (len(set(counts)) == 1, word) for word in words if (counts := _widths(texts, word, path)) and counts[0] > 1
    ]
    uneven = [word for _, word in found if word != "space"]  # a header of several words is none
    return next((word for even, word in found if even), uneven[0] if uneven else "comma")


def _widths(texts: Sequence[str], word: str, path: Path) -> list[int]:
    """Return how many cells the rows of a text have with a delimiter; none if it is not possible."""
    spaces = word == "space"
    lines = [line.rstrip(" \t") for line in texts] if spaces else texts
    with reading(f"{path}, line 1", what="cannot be read as CSV"):
        try:
            reader = csv.reader(lines, delimiter=DELIMITERS[word], skipinitialspace=spaces)
            return [len(cells) for cells in reader if cells]
        except csv.Error:
            return []


def without_leading_comments(lines: list[Line]) -> list[Line]:
    """Drop the lines with ``#`` before the header; the last of them is the header if what follows are only numbers."""
    count = next((n for n, (_, line) in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    if count and count < len(lines):
        last, first = lines[count - 1], lines[count][1]
        mark = next((mark for mark in DELIMITERS.values() if mark in first), ",")
        names = last[1].lstrip("# ").strip().split(mark)
        numbers = [NUMBER.fullmatch(cell.strip()) is not None for cell in first.split(mark)]
        if last[1].startswith("#") and len(names) == len(numbers) > 1 and all(numbers):
            return [(last[0], last[1].lstrip("# ")), *lines[count:]]
    return lines[count:] if count < len(lines) else lines


def without_comments(lines: Sequence[Line], delimiter: str, path: Path) -> Iterator[Line]:
    """Yield the lines without those that begin with ``#`` and have another number of cells than the header.

    A row may begin with a name such as ``#1``, with a spreadsheet's ``#N/A``, and continue in the next line.
    """
    quoted, width = False, 0
    for number, line in lines:
        odd = line.count('"') % 2 == 1
        if line.startswith("#") and not quoted and not odd and not ERROR.match(line):
            width = width or next(iter(_widths([lines[0][1]], delimiter, path)), 1)
            if next(iter(_widths([line], delimiter, path)), 1) not in (width, width + 1):
                continue
        quoted ^= odd
        yield number, line


def drop_trailing(rows: list[list[str]]) -> str:
    """Drop the empty cells that a delimiter at the end of each line makes, with or without one in the header.

    Returns:
        What was done: ``both`` if the header had such a cell too, ``rows`` if not, ``names`` if the header got an empty
        name for R's row names; empty if nothing was.
    """
    if len(rows) < 2:
        return ""
    width = len(rows[0])
    if not rows[0][-1] and width > 1 and all(len(cells) == width and not cells[-1] for cells in rows[1:]):
        for cells in rows:
            cells.pop()
        return "both"
    if all(len(cells) == width + 1 for cells in rows[1:]):
        if all(not cells[-1] for cells in rows[1:]):
            for cells in rows[1:]:
                cells.pop()
            return "rows"
        if len({cells[0] for cells in rows[1:]}) == len(rows) - 1 > 1:  # R's row names have no name in the header
            rows[0].insert(0, "")
            return "names"
    return ""


def header_of(rows: Rows, path: Path) -> list[str]:
    """Return the names of the columns; one without a name is called ``column_1`` by its position.

    Raises:
        DataError: If a name occurs twice, or a row has another number of cells.
    """
    header = [name or f"column_{number}" for number, name in enumerate(rows.cells[0], 1)]
    if doubles := [name for name, count in Counter(header).items() if count > 1]:
        raise DataError(
            f"{path}, line {rows.lines[0]}: duplicate column {doubles[0]}; give each column a name of its own"
        )
    for line, cells in zip(rows.lines[1:], rows.cells[1:], strict=True):
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {line}: has {len(cells)} cells, but the header has {len(header)}; if the line is not data,"
                f" skip it with dataset.skip=[{line}]"
            )
    return header
