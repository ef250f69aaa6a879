"""What the live views share: characters, styles, and a display that no error ends. Imports no torch."""

import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, ConsoleRenderable, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.text import Text

from trainctl.report import phrases
from trainctl.report.styles import LABEL, VALUE

HERTZ = 8
ECHO = 6  # columns left free behind the last line, where a terminal shows ^C^C: that must not break the line
NARROW = 20  # columns beside a label, below which a terminal breaks lines as it likes
Line = list[Segment]
CODE: list[tuple[ControlType]] = [(ControlType.CARRIAGE_RETURN,)]  # marks a segment as one that takes no room
# rich exits the process when a pipe breaks; a terminal that disappears must not end a training run
HARMLESS = (Exception, SystemExit)
ERASED = "\x1b[0J"
SYNCHRONIZED = ("\x1b[?2026h", "\x1b[?2026l")  # a terminal that knows this mode shows a frame at once; others ignore it


@dataclass(frozen=True)
class Marks:
    """The characters that a view is drawn with."""

    full: str
    empty: str
    best: str
    levels: str
    ellipsis: str


BLOCKS = Marks("━", "─", "★", "▁▂▃▄▅▆▇█", "…")
ASCII = Marks("#", "-", "*", "_.-:=+*#", "~")


def marks(encoding: str) -> Marks:
    """Return the block characters if an encoding has them, else ASCII ones."""
    try:
        "".join(vars(BLOCKS).values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def flow(facts: Sequence[phrases.Line], width: int) -> list[Text]:
    """Put facts side by side, on as many lines as they need."""
    lines = [Text()]
    for label, value in facts:
        fact = Text.assemble((f"{label} " if label else "", LABEL), (value, VALUE))
        if lines[-1] and len(lines[-1]) + 3 + len(fact) > width:
            lines.append(Text())
        lines[-1].append("   " if lines[-1] else "").append(fact)
    return lines


class Drawn:
    """Lines and movements of the cursor, ready to be written."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        """Yield them as they are."""
        yield from self.segments


class QuietLive(Live):
    """A live display that writes only the lines that change, and whose thread survives a frame that cannot be drawn.

    Each frame is one synchronized update. If the terminal has another width than before, its lines were broken anew; all
    the rows that they take up now are erased, so that no part of an old frame stays behind.
    """

    _lines: Sequence[Line] = ()
    _width = 0

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Put the changes of the frame behind what is printed above it."""
        if not self.console.is_interactive:
            return super().process_renderables(renderables)
        with self._lock:
            above = [each for each in renderables if not isinstance(each, Control) or each.segment.text]
            size = self.console.size
            lines = self.console.render_lines(self.renderable, self.console.options, pad=False)[: size.height]
            if lines:
                lines[-1] = Segment.adjust_line_length(lines[-1], max(1, size.width - ECHO), pad=False)
            lines = [_trimmed(line) for line in lines]
            first, last = (Drawn([Segment(code, None, CODE)]) for code in SYNCHRONIZED)
            if above or size.width != self._width or not self._started:  # whole at the end, for logs of terminals
                drawn = [Drawn(_erased(self._lines, size.width)), *above, Drawn(_rewritten((), lines))]
            else:
                drawn = [Drawn(_rewritten(self._lines, lines))]
            self._lines, self._width = lines, size.width
            self._live_render._shape = (size.width, len(lines))  # so that rich ends the last line
            return [first, *drawn, last]

    def refresh(self) -> None:
        """Draw a frame, whatever goes wrong."""
        with suppress(*HARMLESS):
            super().refresh()


def _trimmed(line: Line) -> Line:
    """Return a line without the line break at its end, in segments that take no room.

    rich would crop what is between two line breaks to the width, but here the cursor moves to other rows in between.
    """
    return [Segment(segment.text, segment.style, CODE) for segment in line if segment.text != "\n"]


def _code(text: str) -> Segment:
    return Segment(text, None, CODE)


def _erased(lines: Sequence[Line], width: int) -> list[Segment]:
    """Return what erases a frame, at the end of which the cursor is, on a terminal that has broken its lines anew."""
    lengths = [sum(cell_len(segment.text) for segment in line) for line in lines]
    rows = sum(max(1, -(-length // max(1, width))) for length in lengths)
    # Row by row: where everything is erased at once, tmux moves it into the history, where it stays.
    return [_code("\r\x1b[2K" + "\x1b[1A\x1b[2K" * (rows - 1))] if lines else []


def _rewritten(before: Sequence[Line], lines: Sequence[Line]) -> list[Segment]:
    """Return what turns a frame, at the end of which the cursor is, into another one; unchanged lines are skipped."""
    rows, row = max(1, len(before)), 0  # of the old frame, and that of the cursor
    written = [_code("\r" + (f"\x1b[{rows - 1}A" if rows > 1 else ""))]
    for number, line in enumerate(lines):
        is_end = number == len(lines) - 1 and len(lines) < rows  # what follows is erased from here
        if number < len(before) and line == before[number] and not is_end:
            continue
        if (down := min(number, rows - 1) - row) > 0:
            written.append(_code(f"\x1b[{down}B"))
        if number >= rows:
            written += [_code("\n")] * (number - rows + 1)
            rows = number + 1
        row = number
        written += [_code("\r\x1b[2K"), *line]
    if (down := len(lines) - 1 - row) > 0:
        written.append(_code(f"\x1b[{down}B"))
    if len(lines) < rows:
        written.append(_code(ERASED))
    return written


def hanging(label: str, style: str, text: Text, width: int, *, whole: bool = False) -> list[Text]:
    """Return a text in lines that end at words, below each other and next to its label.

    Args:
        label: What is in front of the first line, with the spaces behind it.
        style: Of the label.
        text: The text.
        width: Of the terminal.
        whole: Whether the text is a command or a path, to be pasted: then the terminal breaks the line, and not we.

    >>> [line.plain for line in hanging("data  ", "bold", Text("one two three, four five"), 26)]
    ['data  one two three, four', '      five']
    """
    room = width - len(label)
    found = textwrap.wrap(text.plain, max(room, 1), break_long_words=False, break_on_hyphens=False)
    if whole or len(found) < 2 or room < NARROW or cell_len(text.plain) != len(text.plain):
        return [Text.assemble((label, style), text)]
    return [
        Text.assemble((label if not number else " " * len(label), style), (line, text.style))
        for number, line in enumerate(found)
    ]
