"""What the live views share: characters, styles, and a display that no error ends. Imports no torch."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rich.live import Live
from rich.text import Text

from trainctl.report import phrases

HERTZ = 8
# rich exits the process when a pipe breaks; a terminal that disappears must not end a training run
HARMLESS = (Exception, SystemExit)
LABEL, VALUE, BEST, BAD = "dim", "cyan", "bold green", "bold red"


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


class QuietLive(Live):
    """A live display whose thread survives a frame that cannot be drawn or written."""

    def refresh(self) -> None:
        """Draw a frame, whatever goes wrong."""
        with suppress(*HARMLESS):
            super().refresh()
