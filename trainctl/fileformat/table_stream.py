"""Read the cells of a CSV file part by part, packed or not, in bounded memory. Imports no torch.

The same cells as :func:`trainctl.fileformat.cells.read_table` returns; the first part shows how the file is written.
"""

import codecs
import io
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.cells import JSON, RECORDS, Table, TableFormat, without_missing
from trainctl.fileformat.charset import encoding_of
from trainctl.fileformat.decompress import ending, opened
from trainctl.fileformat.delimited import (
    DELIMITERS,
    SEPARATOR,
    Line,
    Rows,
    drop_trailing,
    guess_delimiter,
    header_of,
    parse,
    without_comments,
    without_leading_comments,
)
from trainctl.fileformat.foreign import HEAD, foreign

CHUNK = 1 << 22  # characters of a part; its cells take some twenty times as much memory
LONGEST = 16  # parts, after which a quote that was opened should have been closed


@dataclass(frozen=True)
class Part:
    """Some lines of a file.

    Args:
        text: The lines, each with its end.
        first: The number of the first one in the file, from 1.
    """

    text: str
    first: int

    def lines(self, skip: frozenset[int]) -> list[Line]:
        """Return the lines with their numbers."""
        numbered = enumerate(io.StringIO(self.text, newline=""), self.first)
        return [(number, line) for number, line in numbered if number not in skip]


def parts(path: Path, encoding: str) -> Generator[Part]:
    """Yield the lines of a file, some megabytes at a time; a row is never divided.

    Raises:
        DataError: If it is not a text in this encoding, or unpacks to too much.
    """
    with opened(path) as (file, limit):
        content, size = _read(file, path), 0
        kind = foreign(content[:HEAD])
        if kind:
            raise DataError(f"{path}: this is {kind}")
        name = encoding_of(content, path, encoding)
        decoder = codecs.getincrementaldecoder(name)()
        rest, first, waited = "", 1, 0
        while content:
            size += len(content)
            if size > limit:
                raise DataError(f"{path}: unpacks to more than {limit:,} bytes; unpack it first if that is expected")
            following = _read(file, path)
            text = _decoded(decoder, content, path, first + rest.count("\n"), name, last=not following)
            rest += text.removeprefix("\ufeff") if first == 1 and not rest else text
            content = following
            if not content:
                break
            cut, waited = _end_of_rows(rest), waited + 1
            if cut:
                yield Part(rest[:cut], first)
                first += _count_lines(rest[:cut])
                rest, waited = rest[cut:], 0
            elif waited > LONGEST:
                raise DataError(
                    f"{path}, line {first}: cannot be read as CSV: a quote is opened and not closed within many megabytes"
                )
        if rest:
            yield Part(rest, first)


def _read(file: IO[bytes], path: Path) -> bytes:
    with reading(path, what="cannot be read as CSV"):
        return file.read(CHUNK)


def _decoded(
    decoder: codecs.IncrementalDecoder, content: bytes, path: Path, line: int, name: str, *, last: bool
) -> str:
    try:
        text = decoder.decode(content, final=last)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        where = line + error.object[: error.start].count(b"\n")
        advice = (
            "; save the file as UTF-8, or name its encoding, e.g. dataset.encoding=cp1252 (Western Europe, Windows)"
        )
        raise DataError(
            f"{path}, line {where}: cannot be read as CSV: byte {byte:#04x} is not {name.upper()}"
            f"{advice if name.startswith('utf-8') else ''}"
        ) from error
    if (position := text.find("\0")) >= 0:
        where = line + text[:position].count("\n")
        raise DataError(f"{path}, line {where}: cannot be read as CSV: it contains a NUL byte")
    return text


def _end_of_rows(text: str) -> int:
    """Return the length of the whole rows at the start of a text: up to the end of a line outside quotes; 0 if none."""
    mark = "\n" if "\n" in text else "\r"
    cut = text.rfind(mark, 0, len(text) - 1) + 1
    quotes = text.count('"', 0, cut) if '"' in text else 0
    while cut and quotes % 2:
        before = text.rfind(mark, 0, cut - 1) + 1
        quotes -= text.count('"', before, cut)
        cut = before
    return cut


def _count_lines(text: str) -> int:
    r"""Return the number of lines, which end with ``\n``, ``\r`` or ``\r\n``.

    >>> [_count_lines(text) for text in ("a", "a\n", "a\r\nb", "a\rb\r", "a\n\rb")]
    [1, 1, 2, 2, 3]
    """
    ends = text.count("\n")
    if "\r" in text:
        ends += text.count("\r") - text.count("\r\n")
    return ends + (not text.endswith(("\n", "\r")))


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are written, as its first part shows.

    Args:
        path: The file.
        form: How it is written; its delimiter is the one that was found.
        top: The line with the header, or the first row if there is none.
        header: The names of the columns.
        nameless: Columns without a name in the header.
        trailing: What was done about the ends of the rows, see :func:`~trainctl.fileformat.delimited.drop_trailing`.
    """

    path: Path
    form: TableFormat
    top: Line
    header: list[str]
    nameless: tuple[str, ...]
    trailing: str


def first_part(path: Path, form: TableFormat) -> tuple[Layout, Table, bool]:
    """Return how a file is written, the cells of its first part, and whether that is all of it.

    Raises:
        ConfigError: If a setting needs all cells at once.
        DataError: If it is no such file.
    """
    if form.ignore_case:
        raise ConfigError(
            "dataset.ignore_case=true needs all cells at once, and the rows stay on disk: set dataset.keep=memory"
        )
    source = parts(path, form.encoding)
    part = next(source, Part("", 1))
    if ending(path) in JSON or RECORDS.match(part.text):
        raise ConfigError(
            f"dataset.keep=disk: {path.name} has JSON records, which are read whole: set dataset.keep=memory"
        )
    alone = next(source, None) is None
    source.close()
    lines = part.lines(frozenset(form.skip))
    delimiter = form.delimiter
    if lines and (match := SEPARATOR.fullmatch(lines[0][1])):
        delimiter = next((word for word in DELIMITERS if DELIMITERS[word] == match[1]), delimiter)
        lines = lines[1:]
    lines = without_leading_comments(lines)
    if delimiter == "auto":
        delimiter = guess_delimiter(lines, path, form.usual)
    cells, starts = parse(list(without_comments(lines, delimiter, path)), path, delimiter)
    trailing = drop_trailing(cells)
    if not form.header and cells:
        cells, starts = [[f"column_{number}" for number in range(1, len(cells[0]) + 1)], *cells], [1, *starts]
    if len(cells) < 2:
        raise DataError(f"{path}: needs a header and at least one row{'' if cells else '; it is empty'}")
    header = header_of(Rows(cells, starts, delimiter), path)
    nameless = tuple(name for name, typed in zip(header, cells[0], strict=True) if not typed)
    layout = Layout(path, replace(form, delimiter=delimiter), lines[0], header, nameless, trailing)
    return layout, _table(layout, cells[1:], starts[1:]), alone


def cells_of(layout: Layout, part: Part) -> Table:
    """Return the cells of a part.

    Raises:
        DataError: If a row cannot be read; with its line.
    """
    lines = part.lines(frozenset(layout.form.skip))
    if part.first == 1:
        lines = [line for line in lines if line[0] > layout.top[0]]
    # Below the first line, which shows how many cells a row has.
    cells, starts = parse(
        list(without_comments([layout.top, *lines], layout.form.delimiter, layout.path)),
        layout.path,
        layout.form.delimiter,
    )
    if layout.form.header or part.first > 1:
        cells, starts = cells[1:], starts[1:]
    width = len(layout.header)
    for row in cells:
        if layout.trailing in ("both", "rows") and len(row) == width + 1 and not row[-1]:
            row.pop()
    header_of(Rows([layout.header, *cells], [1, *starts], layout.form.delimiter), layout.path)  # checks their lengths
    return _table(layout, cells, starts)


def _table(layout: Layout, cells: list[list[str]], starts: list[int]) -> Table:
    if layout.form.missing:
        cells = without_missing(cells, layout.form.missing)
    return Table(layout.path, layout.header, cells, starts, layout.nameless, layout.form)
