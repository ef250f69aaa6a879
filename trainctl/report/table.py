"""Print tables and lines: with rich on a terminal, as aligned plain text elsewhere. Imports no torch.

A user's text is never parsed as markup, and characters that cannot be printed are escaped, so that no name of a
run or value of a setting can break a table or control the terminal.
"""

import csv as csv_module
import io
import json as json_module
import math
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from trainctl.report import pipes
from trainctl.report.layout import GAP, broken, fits, fitting_columns, nested, parts, together, width, widths
from trainctl.report.styles import LABEL

if TYPE_CHECKING:
    from rich.console import Console

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
        if fits(widths(table), room):
            break
        table[0] = [printable(header, stream.encoding) for header in level]
    if wrapped:  # such a column needs less than its longest line
        cut = [READABLE if header in wrapped else None for header in headers]
        kept = fitting_columns(
            [[cell[:most] for cell, most in zip(row, cut, strict=True)] for row in table], places, room
        )
    else:
        table, kept = _shortened(table, headers, places, shorter or {}, room, stream.encoding)
    fitting = [[row[index] for index in kept] for row in table]
    whole = {header for header in headers if wrapped and header not in wrapped}
    to_right, unbroken = ([headers[index] in chosen for index in kept] for chosen in (right, whole))
    if sections and together(fitting, unbroken, room) is None and len(kept) > 2:
        fitting, to_right, unbroken, sections = nested(fitting), to_right[1:], unbroken[1:], False
    _draw(fitting, to_right, unbroken, sections, stream)
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


def _plain(table: Sequence[Sequence[str]], right: Sequence[bool], stream: TextIO) -> None:
    """Print whole cells, aligned, without trailing spaces."""
    most = widths(table)
    for row in table:
        cells = []
        for cell, wide, to_right in zip(row, most, right, strict=True):
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
    kept = fitting_columns(table, optional, room)
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
            kept = fitting_columns(table, optional, room)
    return table, kept


def _draw(
    table: Sequence[Sequence[str]],
    right: Sequence[bool],
    whole: Sequence[bool],
    sections: bool,
    stream: TextIO,
) -> None:
    """Draw a table on a terminal, in several parts if its columns do not fit next to each other."""
    for number, (chosen, wide) in enumerate(parts(table, whole, columns(stream))):
        if number:
            line(stream=stream)
        part = [[row[index] for index in chosen] for row in table]
        _rich(part, [right[index] for index in chosen], wide, sections, stream)


def _rich(
    table: Sequence[Sequence[str]], right: Sequence[bool], wide: Sequence[int], sections: bool, stream: TextIO
) -> None:
    """Draw columns of these widths; a cell that is wider has several lines."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    lines = [[broken(cell, room) for cell, room in zip(row, wide, strict=True)] for row in table]
    for header, to_right, room in zip(lines[0], right, wide, strict=True):
        drawn.add_column(Text(header), justify="right" if to_right else "left", width=room, no_wrap=True)
    above = None
    for row in lines[1:]:
        if sections and above not in (None, row[0]):
            drawn.add_section()
        first = "" if sections and row[0] == above else row[0]
        drawn.add_row(*(Text(cell) for cell in (first, *row[1:])))
        above = row[0]
    console(stream).print(drawn)
