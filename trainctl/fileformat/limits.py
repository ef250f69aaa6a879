"""What no parser may be given: too many open brackets, or digits. Imports no torch."""

import re
from pathlib import Path

from trainctl.errors import DataError, TrainctlError

DEEPEST_BRACKETS = 500  # brackets inside brackets; parsers recurse, or take quadratic time, over more
LONGEST_NUMBER = 1000  # digits; int() takes quadratic time for them
BRACKETS = re.compile(r"[\[\]{}()]")
LONG_NUMBER = re.compile(rf"[\d_:]{{{LONGEST_NUMBER + 1},}}")  # with the colons of YAML's numbers to base 60


def check_brackets_and_digits(text: str, where: Path | str, error: type[TrainctlError] = DataError) -> None:
    """Refuse a text on which a parser would recurse too deeply or calculate too long, before a parser reads it.

    Brackets in quotes and comments count too: no real file has hundreds of them open.

    Raises:
        TrainctlError: Of the class that is given.

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
    """Return how many brackets are open at once, at most; one that closes nothing is ignored."""
    depth = deepest = 0
    for bracket in BRACKETS.findall(text):
        if bracket in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif depth:
            depth -= 1
    return deepest
