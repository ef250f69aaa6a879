"""Format a docstring for a terminal: paragraphs are filled, formulas are indented. Imports no torch."""

import re
import shutil
import textwrap

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
    text = re.sub(r":math:`([^`]*)`", lambda match: _latex(match[1]), text)
    return re.sub(r"(?::\w+:)?(`+)([^`]+)\1", r"\2", text)


def formula(text: str) -> str:
    """Return the lines of a formula, indented, with its ``&`` columns aligned."""
    lines = [[_latex(cell) for cell in line.split("&")] for line in re.split(r"\\\\\s*\n?|\n", text) if line.strip()]
    columns = max(map(len, lines), default=0)
    widths = [max((len(line[index]) for line in lines if index < len(line)), default=0) for index in range(columns)]
    drawn = []
    for line in lines:
        cells = [cell.ljust(widths[index]) for index, cell in enumerate(line)]
        drawn.append("    " + "    ".join([" ".join(cells[:2]), *cells[2:]]).rstrip())
    return "\n".join(drawn)


def _latex(text: str) -> str:
    r"""Return LaTeX without the commands for spaces, sizes and fonts.

    >>> _latex(r"\left(1 + \tfrac12\right)\, x \quad\text{if } x")
    '(1 + \\frac12) x    if x'
    """
    text = re.sub(r"\\(left|right)(?![A-Za-z])\.?|\\(begin|end)\{\w+\*?\}|\\!", "", text)
    text = re.sub(r"\\(text|operatorname|mathrm)\{([^}]*)\}", r"\2", text)
    text = re.sub(r"\\[td]frac", r"\\frac", text)
    text = " ".join(re.sub(r"\\[,;:]|~", " ", text).split())
    return re.sub(r"\s*\\q?quad\s*", "    ", text).strip()
