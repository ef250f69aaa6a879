"""How words and values are spelt on the command line, and what a misspelt one probably meant."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

# What text programs and phones put in the place of what was typed.
DASHES, DOUBLE, SINGLE = "\u2010\u2011\u2012\u2013\u2014\u2212", "\u201c\u201d\u201e", "\u2018\u2019\u201a"
PLAIN = (
    dict.fromkeys(DASHES, "-") | dict.fromkeys(DOUBLE, '"') | dict.fromkeys(SINGLE, "'")
    | dict.fromkeys("\u00a0\u202f\u3000", " ") | {"\uff1d": "=", "\uff0c": ",", "\u200b": "", "\ufeff": ""}
)  # fmt: skip
UNREADABLE = re.compile(
    r"(?:recognition error at:|(?:mismatched|extraneous) input|no viable alternative at input) '(.)"
)


def nearest(word: str, options: Iterable[str]) -> str:
    """Return the end of an error message: the nearest option, then all of them."""
    options = list(options)
    close = get_close_matches(word, options, n=1) or get_close_matches(word.lower(), options, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} (choose from: {', '.join(options)})" if options else f"{hint} (there are none)"


def spell(value: object) -> str:
    """Write a plain value as the command line spells it."""
    return (
        {True: "true", False: "false", None: "null"}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )


def misspelt(text: str, reason: str = "") -> str:
    """Say what makes a word of the command line unreadable: odd characters, blanks, or what should be quoted.

    Args:
        text: The word.
        reason: What a parser said about it.

    >>> misspelt("lr = 1")
    'no blanks around =; did you mean lr=1?'
    """
    if odd := [character for character in text if character in PLAIN]:
        name, plain = (
            unicodedata.name(odd[0], "odd character").lower(),
            "".join(PLAIN.get(character, character) for character in text),
        )
        return f"holds a character of a text program ({name}); did you mean {plain}?"
    key, equals, value = text.partition("=")
    if not equals:
        return "expected key=value or group=member"
    if key != key.strip() or value != value.strip():
        return f"no blanks around =; did you mean {key.strip()}={value.strip()}?"
    found = UNREADABLE.search(reason)
    shown = f"cannot be read at {found[1]}" if found else reason.partition("\n")[0]
    return f"{shown}; quote what is not plain: \"key='value'\""
