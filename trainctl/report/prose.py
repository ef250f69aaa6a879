"""Format a docstring for a terminal: paragraphs are filled, formulas are indented. Imports no torch."""

import re
import shutil
import textwrap

from trainctl.report import latex
from trainctl.report.layout import width

WIDTH = 100  # most columns of a paragraph


def block(text: str) -> str:
    """Return a paragraph as plain text; a list keeps its lines."""
    if text.startswith(".. math::"):
        return formula(text.removeprefix(".. math::"))
    return plain(text) if re.search(r"^(\s|[-*] )", text, flags=re.MULTILINE) else paragraph(text)


def paragraph(text: str) -> str:
    """Fill a paragraph to the width of the terminal."""
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    return textwrap.fill(plain(" ".join(text.split())), width, break_long_words=False, break_on_hyphens=False)


def plain(text: str) -> str:
    r"""Return text without the markup of reStructuredText: ``code``, :math:`x`, :mod:`name`.

    >>> plain("the ``rate`` of :mod:`adam`")
    'the rate of adam'
    """
    text = re.sub(r":math:`([^`]*)`", lambda match: latex.plain(match[1]), text)
    return re.sub(r"(?::\w+:)?(`+)([^`]+)\1", r"\2", text)


def formula(text: str) -> str:
    """Return the lines of a formula, indented, with its ``&`` columns aligned."""
    lines = [
        [latex.plain(cell) for cell in line.split("&")] for line in re.split(r"\\\\\s*\n?|\n", text) if line.strip()
    ]
    aligned = [line for line in lines if len(line) > 1]  # a line without & is as wide as it is
    columns = max(map(len, aligned), default=0)
    widths = [max(width(line[index]) for line in aligned if index < len(line)) for index in range(columns)]
    drawn = []
    for line in lines:
        wide = widths if len(line) > 1 else [0]
        cells = [cell + " " * (wide[index] - width(cell)) for index, cell in enumerate(line)]
        drawn.append("    " + "    ".join([" ".join(cells[:2]), *cells[2:]]).rstrip())
    return "\n".join(drawn)
