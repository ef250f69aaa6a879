"""Print tables and lines: with rich on a terminal, as aligned plain text elsewhere. Imports no torch.

A user's text is never parsed as markup, and characters that cannot be printed are escaped, so that no name of a
run or value of a setting can break a table or control the terminal.
"""

import csv as csv_module
import io
import json as json_module
import math
import sys
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from trainctl.report import pipes
from trainctl.report.styles import LABEL

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2  # columns of characters between two cells
READABLE = 18  # characters of a line of text that is wrapped in a column


def show(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    right: Collection[str] = (),
    optional: Sequence[str] = (),
    shorter: Mapping[str, Sequence[Sequence[str]]] | None = None,
    names: Sequence[Sequence[str]] = (),
    wrapped: Collection[str] = (),
    sections: bool = False,
    stream: TextIO | None = None,
) -> None:
    """Print a table.

    Args:
        headers: One for each column, all different.
        rows: Cells; each row has as many as there are headers.
        title: A line above the table.
        right: Headers of the right-aligned columns.
        optional: Headers of the columns that a narrow terminal hides, in this order.
        shorter: For a column, shorter and shorter texts that mean the same, for a narrow terminal.
        names: Shorter and shorter headers that mean the same, for a narrow terminal.
        wrapped: Headers of the columns whose text may be wrapped on a terminal; empty: all.
        sections: Whether a terminal leaves the first cell empty where it repeats the one above it.
        stream: Where to print; standard output by default.
    """
    stream = stream or sys.stdout
    if title:
        line(title, style="bold", stream=stream)
    table = [[printable(cell, stream.encoding) for cell in row] for row in (headers, *rows)]
    if not stream.isatty():
        _plain(table, [header in right for header in headers], stream)
        return
    room, places = columns(stream), [headers.index(header) for header in optional]
    for level in names:
        if _fits(table, range(len(headers)), room):
            break
        table[0] = [printable(header, stream.encoding) for header in level]
    if wrapped:  # such a column needs less than its longest line
        cut = [READABLE if header in wrapped else None for header in headers]
        kept = _fitting([[cell[:most] for cell, most in zip(row, cut, strict=True)] for row in table], places, room)
    else:
        table, kept = _shortened(table, headers, places, shorter or {}, room, stream.encoding)
    fitting = [[row[index] for index in kept] for row in table]
    unbroken = [bool(wrapped) and headers[index] not in wrapped for index in kept]
    _rich(fitting, [headers[index] in right for index in kept], unbroken, sections, stream)
    if dropped := [header for index, header in enumerate(headers) if index not in kept]:
        names = ", ".join(dropped)
        line(f"Hidden for lack of width: {names}. Pipe the output to see all columns.", style=LABEL, stream=stream)


def line(text: str = "", *, style: str = "", stream: TextIO | None = None) -> None:
    """Print one line, on a terminal in one of rich's styles; line breaks of names and values in it are escaped."""
    stream = stream or sys.stdout
    text = printable(text, stream.encoding)
    if not (style and stream.isatty()):
        print(text, file=stream)
        return
    from rich.text import Text

    console(stream).print(Text(text, style=style), soft_wrap=True)


def lines(text: str, *, stream: TextIO | None = None) -> None:
    """Print text that has lines by itself, such as help and tracebacks: its line breaks are ours."""
    for each in text.split("\n"):
        line(each, stream=stream)


def write_line(stream: TextIO, text: str, encoding: str | None = None) -> TextIO | None:
    """Write a line to a stream that may be closed or broken; return the stream, or None if it can no longer be used."""
    try:
        stream.write(printable(text, encoding) + "\n")
        stream.flush()
    except BrokenPipeError:
        pipes.drain(stream)
        return None
    except (OSError, ValueError):  # ValueError: the file is closed
        return None
    return stream


def printable(text: str, encoding: str | None = None) -> str:
    r"""Escape characters that an encoding or a terminal cannot print, line breaks included.

    >>> printable("a\x1b[31m\n"), printable("Größe", "ascii")
    ('a\\x1b[31m\\n', 'Gr\\xf6\\xdfe')
    """
    if not text.isprintable():
        text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    encoding = encoding or "utf-8"
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)


def json(content: Any, *, indent: int | None = 2) -> None:
    r"""Print JSON, in which whatever could control a terminal is written as ``\u...``, so that it reads back unchanged."""
    text = json_module.dumps(_finite(content), indent=indent, ensure_ascii=False)
    print("".join(c if c.isprintable() or c == "\n" else json_module.dumps(c)[1:-1] for c in text))


def _finite(content: Any) -> Any:
    """Return content with null in place of NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def csv(rows: Iterable[Iterable[object]]) -> str:
    r"""Return comma-separated values for a spreadsheet and a terminal: without formulas or control characters.

    >>> csv([["run", "lr"], ["=cmd()\x1b", 0.1]])
    "run,lr\n'=cmd()\\x1b,0.1\n"
    """
    output = io.StringIO()
    writer = csv_module.writer(output, lineterminator="\n")
    for row in rows:
        writer.writerow(harmless(printable(cell) if isinstance(cell, str) else cell) for cell in row)
    return output.getvalue()


def flush() -> None:
    """Show now what was printed, also in a pipe, because the next line may take seconds."""
    sys.stdout.flush()


def text(lines: str) -> None:
    """Print lines that end in a line break: as they are into a pipe or a file, escaped on a terminal."""
    sys.stdout.write("\n".join(map(printable, lines.split("\n"))) if sys.stdout.isatty() else lines)


def harmless(cell: object) -> object:
    """Quote a CSV cell that a spreadsheet would run as a formula; numbers stay as they are.

    >>> harmless("=cmd()"), harmless("setosa"), harmless("-1.5"), harmless(-1.5)
    ("'=cmd()", 'setosa', '-1.5', -1.5)
    """
    if not (isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def number(value: float | None, digits: int = 4) -> str:
    """Format a number with ``digits`` significant digits; ``-`` if it is None.

    >>> number(0.98765), number(120000), number(None)
    ('0.9877', '120000', '-')
    """
    if value is None:
        return "-"
    return str(round(value)) if abs(value) < 1e15 and value == round(value) else f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """Format a duration in one or two units; ``-`` if it is unknown.

    >>> duration(3.21), duration(59.97), duration(7384)
    ('3.2s', '1m00s', '2h03m')
    """
    if seconds is None or not 0 <= seconds < float("inf"):
        return "-"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def width(text: str) -> int:
    """Return the width of a text on a terminal [columns]: two for an East Asian character, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(
        (not unicodedata.combining(character)) * (1 + (unicodedata.east_asian_width(character) in "WF"))
        for character in text
    )


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width, column)) for column in zip(*table, strict=True)]


def _plain(table: Sequence[Sequence[str]], right: Sequence[bool], stream: TextIO) -> None:
    """Print whole cells, aligned, without trailing spaces."""
    widths = _widths(table)
    for row in table:
        cells = []
        for cell, wide, to_right in zip(row, widths, right, strict=True):
            spaces = " " * (wide - width(cell))
            cells.append(spaces + cell if to_right else cell + spaces)
        print((" " * GAP).join(cells).rstrip(), file=stream)


def console(stream: TextIO | None = None) -> "Console":
    """Return what draws on a terminal, by default standard output, in our colours.

    A terminal that claims 16 colours, as tmux does, gets those of the palette of 256, which it knows or approximates: the
    nearest of the 16, of which each terminal has its own, may be unreadable. Without colours it stays without.
    """
    from rich.console import Console

    found = Console(file=stream, highlight=False)
    return Console(file=stream, highlight=False, color_system="256") if found.color_system == "standard" else found


def columns(stream: TextIO) -> int:
    """Return the width of a terminal."""
    return console(stream).width


def _fitting(table: Sequence[Sequence[str]], optional: Sequence[int], room: int) -> list[int]:
    """Return the columns to keep: optional ones are removed, in their order, until the others fit."""
    kept = list(range(len(table[0])))
    for index in optional:
        if _fits(table, kept, room):
            break
        kept.remove(index)
    return kept


def _fits(table: Sequence[Sequence[str]], kept: Sequence[int], room: int) -> bool:
    widths = _widths(table)
    return sum(widths[column] + GAP for column in kept) - GAP <= room


def _shortened(
    table: list[list[str]],
    headers: Sequence[str],
    optional: Sequence[int],
    shorter: Mapping[str, Sequence[Sequence[str]]],
    room: int,
    encoding: str,
) -> tuple[list[list[str]], list[int]]:
    """Return the table with names as short as necessary, and the columns to keep.

    A shorter name is worth less than a column at first, and more than half of them.
    """
    kept = _fitting(table, optional, room)
    for header, levels in shorter.items():
        for level, cells in enumerate(levels):
            lost = len(headers) - len(kept)
            if lost == 0 or (level and 2 * lost <= len(optional)):
                break
            place = headers.index(header)
            table = [
                [*row[:place], cell, *row[place + 1 :]]
                for row, cell in zip(table, [header, *(printable(cell, encoding) for cell in cells)], strict=True)
            ]
            kept = _fitting(table, optional, room)
    return table, kept


def _rich(
    table: Sequence[Sequence[str]], right: Sequence[bool], unbroken: Sequence[bool], sections: bool, stream: TextIO
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for header, to_right, whole in zip(table[0], right, unbroken, strict=True):
        drawn.add_column(Text(header), justify="right" if to_right else "left", overflow="fold", no_wrap=whole)
    above = None
    for row in table[1:]:
        if sections and above not in (None, row[0]):
            drawn.add_section()
        first = "" if sections and row[0] == above else row[0]
        drawn.add_row(*(Text(cell) for cell in (first, *row[1:])))
        above = row[0]
    console(stream).print(drawn)
