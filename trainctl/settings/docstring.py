"""A Google-style docstring, taken apart once for all who show it. Imports no torch."""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

SECTIONS = ("Args", "Returns", "Raises", "Source")


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring, in reStructuredText; doctests are left out.

    Args:
        summary: The first line, as a user reads it: without the "Return" with which a function's docstring begins.
        body: The paragraphs and formulas after it.
        arguments: The meaning of each argument.
        returns: What the function returns; empty if it is not described.
        source: Where the method was published, and what differs; empty if there is none.
    """

    summary: str
    body: tuple[str, ...]
    arguments: Mapping[str, str]
    returns: str
    source: str


def parse_docstring(text: str) -> Docstring:
    r"""Take a docstring apart.

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
    """Return a summary without "Return", which tells a programmer what the function does.

    >>> _for_users("Return gradient descent."), _for_users("Follow a sine.")
    ('Gradient descent.', 'Follow a sine.')
    """
    shorter = summary.removeprefix("Return ")
    return shorter[:1].upper() + shorter[1:]
