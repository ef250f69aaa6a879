"""Parse Google-style docstrings, for every command that shows them. Imports no torch."""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

SECTIONS = ("Args", "Returns", "Raises", "Source")


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring, in reStructuredText, without the doctests.

    Args:
        summary: The first line, as shown to users: without the leading "Return" of a function's docstring.
        body: The paragraphs and formulas after the summary.
        arguments: The meaning of each argument.
        returns: What the function returns; empty if it is not described.
        source: Where the method was published, and what differs from it; empty if there is none.
    """

    summary: str
    body: tuple[str, ...]
    arguments: Mapping[str, str]
    returns: str
    source: str


def parse_docstring(text: str) -> Docstring:
    r"""Parse a docstring.

    >>> parse_docstring("Return the identity.\n\nArgs:\n    rate: A rate\n        [1].\n\nSource: none.")
    Docstring(summary='The identity.', body=(), arguments={'rate': 'A rate [1].'}, returns='', source='none.')
    """
    text = re.split(r"^>>> ", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
    summary, _, rest = text.partition("\n\n")
    sections = dict.fromkeys(SECTIONS, "")
    body = []
    for block in re.split(r"\n\n(?=\S)", rest.strip()):  # a formula may have empty lines inside
        title, colon, content = block.partition(":")
        if colon and title in SECTIONS:
            sections[title] = textwrap.dedent(content.removeprefix("\n")).strip()
        elif block:
            body.append(block.strip())
    arguments = {
        name.strip(): " ".join(meaning.split())
        for name, _, meaning in (item.partition(":") for item in re.split(r"\n(?=\S)", sections["Args"]) if item)
    }
    returns, source = (" ".join(sections[title].split()) for title in ("Returns", "Source"))
    return Docstring(_for_users(" ".join(summary.split())), tuple(body), arguments, returns, source)


def _for_users(summary: str) -> str:
    """Return a summary without its leading "Return", which is of no use to users.

    >>> _for_users("Return gradient descent."), _for_users("Follow a sine.")
    ('Gradient descent.', 'Follow a sine.')
    """
    shorter = summary.removeprefix("Return ")
    return shorter[:1].upper() + shorter[1:]
