"""Reject texts with too many open brackets or digits before they reach a parser. Imports no torch."""

import re
from pathlib import Path

from trainctl.errors import DataError, TrainctlError

DEEPEST_BRACKETS = 500  # nested brackets; beyond this, parsers recurse too deeply or take quadratic time
LONGEST_NUMBER = 1000  # digits; the time of int() is quadratic in their number
BRACKETS = re.compile(r"[\[\]{}()]")
LONG_NUMBER = re.compile(rf"[\d_:]{{{LONGEST_NUMBER + 1},}}")  # colons: YAML has numbers in base 60


def check_brackets_and_digits(text: str, where: Path | str, error: type[TrainctlError] = DataError) -> None:
    """Reject a text on which a parser would recurse too deeply or take too long.

    Brackets in quotes and comments count too: no real file has hundreds of open brackets.

    Raises:
        TrainctlError: Of the class ``error``, if the text exceeds a limit.

    >>> check_brackets_and_digits("[" * 501, "a.json")
    Traceback (most recent call last):
    trainctl.errors.DataError: a.json: nested more than 500 levels deep
    """
    trouble = ""
    if len(text) > LONGEST_NUMBER and LONG_NUMBER.search(text):
        trouble = f"a number of more than {LONGEST_NUMBER:,} digits"
    if len(text) > DEEPEST_BRACKETS and _depth(text) > DEEPEST_BRACKETS:
        trouble = f"nested more than {DEEPEST_BRACKETS} levels deep"
    if trouble:
        raise error(f"{where}: {trouble}")


def _depth(text: str) -> int:
    """Return the largest number of brackets that are open at once; unmatched closing brackets are ignored."""
    depth = deepest = 0
    for bracket in BRACKETS.findall(text):
        if bracket in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif depth:
            depth -= 1
    return deepest
