"""Reject texts with too many open brackets or digits before they reach a parser. Imports no torch."""

import re
from pathlib import Path

from trainctl.errors import ConfigError, DataError, TrainctlError

DEEPEST_BRACKETS = 500  # nested brackets; beyond this, parsers recurse too deeply or take quadratic time
LONGEST_NUMBER = 1000  # digits; the time of int() is quadratic in their number
LONGEST_WORD = 30_000  # characters of a word of the command line
MOST_SIGNS = 4000  # commas and the like in it; Hydra's parser takes quadratic time, 1 s for these
DEEPEST_WORD = 50  # nested brackets in it; OmegaConf recurses
SIGNS = re.compile(r"[,:=\[\]{}()$'\"\\\s]")
BRACKETS = re.compile(r"[\[\]{}()]")
FLOW = re.compile(r"[\[\]{}]")  # brackets of JSON and YAML
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)  # of JSON
DEEPEST_KEY = (
    50  # parts of a dotted key of TOML, whose parser takes quadratic time; and levels of the tree that it returns
)
LONG_KEY = re.compile(rf"""(?:(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){{{DEEPEST_KEY}}}""")
LONG_NUMBER = re.compile(rf"[\d_:]{{{LONGEST_NUMBER + 1},}}")  # colons: YAML has numbers in base 60


def check_brackets_and_digits(
    text: str,
    where: Path | str,
    error: type[TrainctlError] = DataError,
    deepest: int = DEEPEST_BRACKETS,
    brackets: re.Pattern[str] = BRACKETS,
) -> None:
    """Reject a text on which a parser would recurse too deeply or take too long.

    Brackets in quotes and comments count, too.

    Args:
        text: The text.
        where: The file, for the message.
        error: The class of the error.
        deepest: Maximum number of nested brackets.
        brackets: Which ones count.

    Raises:
        TrainctlError: Of the class ``error``, if the text exceeds a limit.

    >>> check_brackets_and_digits("[" * 501, "a.json")
    Traceback (most recent call last):
    trainctl.errors.DataError: a.json: nested more than 500 levels deep
    """
    trouble = ""
    if len(text) > LONGEST_NUMBER and LONG_NUMBER.search(text):
        trouble = f"a number of more than {LONGEST_NUMBER:,} digits"
    if len(text) > deepest and _depth(text, brackets) > deepest:
        trouble = f"nested more than {deepest} levels deep"
    if trouble:
        raise error(f"{where}: {trouble}")


def check_json(
    text: str, where: Path | str, error: type[TrainctlError] = DataError, deepest: int = DEEPEST_BRACKETS
) -> None:
    """Reject a JSON text on which a parser would recurse too deeply or take too long.

    What is in strings does not count: thousands of texts may contain an open bracket each. Arguments and errors are those of
    :func:`check_brackets_and_digits`.

    >>> check_json('["' + ":[" * 1000 + '"]', "a.json")
    """
    try:
        check_brackets_and_digits(text, where, error, deepest, FLOW)
    except error:
        check_brackets_and_digits(STRING.sub('""', text), where, error, deepest, FLOW)


def check_depth(tree: object, where: Path | str, error: type[TrainctlError] = DataError) -> None:
    """Reject a tree with too many levels for code that recurses.

    >>> check_depth({"a": [{"b": 1}]}, "a.toml")
    """
    level = [tree]
    for _ in range(DEEPEST_KEY):
        inside = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        level = [item for items in inside for item in items]
        if not level:
            return
    raise error(f"{where}: nested more than {DEEPEST_KEY} levels deep")


def check_word(word: str) -> None:
    """Reject a word of the command line on which Hydra's parser would recurse too deeply or take too long.

    Raises:
        ConfigError: If it exceeds a limit.

    >>> check_word("model.hidden=" + "[" * 51)
    Traceback (most recent call last):
    trainctl.errors.ConfigError: model.hidden: nested more than 50 levels deep
    """
    where = word[:60].partition("=")[0]
    if len(word) > LONGEST_WORD or len(SIGNS.findall(word)) > MOST_SIGNS:
        raise ConfigError(
            f"{where}: more than {LONGEST_WORD:,} characters, or {MOST_SIGNS:,} commas and brackets; put long values into a"
            " file in ./conf"
        )
    check_brackets_and_digits(word, where, ConfigError)
    if _depth(word) > DEEPEST_WORD:
        raise ConfigError(f"{where}: nested more than {DEEPEST_WORD} levels deep")


def _depth(text: str, brackets: re.Pattern[str] = BRACKETS) -> int:
    """Return the largest number of brackets that are open at once; unmatched closing brackets are ignored."""
    depth = deepest = 0
    for bracket in brackets.findall(text):
        if bracket in "[{(":
            depth += 1
            deepest = max(deepest, depth)
        elif depth:
            depth -= 1
    return deepest
