"""Write values as on the command line, and suggest corrections for misspelt words. Imports no torch."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from trainctl.settings.text import spell_text
from trainctl.wording import did_you_mean

LARGE = 1e6  # from here on a number is written with an exponent, if that is shorter
# Characters that word processors and phones insert in place of what was typed.
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
    hint = did_you_mean(str(word), options)  # a key in YAML may be a number
    return f"{hint} (choose from: {', '.join(options)})" if options else f"{hint} (there are none)"


def no_such(kind: str, word: str, options: Iterable[str]) -> str:
    """Return the end of an error message for a word that is not one of the options.

    >>> no_such("optimizer", "adm", ["adam", "sgd"])
    'no such optimizer; did you mean adam? (choose from: adam, sgd)'
    """
    return f"no such {kind}{nearest(word, options)}"


def spell(value: object) -> str:
    """Format a plain value as on the command line.

    >>> spell([1, None, {"a": True}]), spell("a,b"), spell(["a,b", "c"]), spell("null"), spell(1e12)
    ('[1,null,{a:true}]', 'a,b', "['a,b',c]", "'null'", '1e12')
    """
    if isinstance(value, str):
        return spell_text(value)
    if isinstance(value, list | tuple):
        items = (spell_text(item, item=True) if isinstance(item, str) else spell(item) for item in value)
        return f"[{','.join(items)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{spell(item)}' for key, item in value.items())}}}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and LARGE <= abs(value) < float("inf"):
        return min(repr(value), short_exponent(value), key=len)
    return "null" if value is None else str(value)


def short_exponent(value: float) -> str:
    """Return a number with an exponent, in as few digits as give the same number back.

    >>> short_exponent(1e12), short_exponent(2500000.0)
    ('1e12', '2.5e6')
    """
    digits = next(digits for digits in range(17) if float(f"{value:.{digits}e}") == value)
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


RANGES = "interval(0,0.5), tag(log,interval(1e-5,1e-1)) or int(interval(8,64))"


def misspelt(text: str, reason: str = "") -> str:
    """Return why a word of the command line cannot be parsed: unusual characters, spaces, or missing quotes.

    Args:
        text: The word.
        reason: The message of the parser, if it was called.

    >>> misspelt("lr = 1")
    'no spaces around =; did you mean lr=1?'
    """
    if odd := [character for character in text if character in PLAIN]:
        plain = "".join(PLAIN.get(character, character) for character in text)
        name = unicodedata.name(odd[0], "an unusual character").lower()
        article = "an" if name[0] in "aeiou" else "a"
        shown = f" ({odd[0]})" if odd[0].isprintable() else ""
        return f"contains {article} {name}{shown}, probably pasted from a document; did you mean {plain}?"
    key, equals, value = text.partition("=")
    if not equals:
        return "expected key=value or group=member"
    if key != key.strip() or value != value.strip():
        return f"no spaces around =; did you mean {key.strip()}={value.strip()}?"
    if match := re.search(
        r"while evaluating '.*': (.+)", reason, re.DOTALL
    ):  # a function of sweeps with wrong arguments
        unknown = re.match(r"Unknown function '(\w+)'", match[1])
        return f"no such function {unknown[1]}; for a range: {RANGES}, with sweep=random" if unknown else match[1]
    match = UNREADABLE.search(reason)
    trouble = f'cannot parse "{match[1]}"' if match else reason.partition("\n")[0]
    return f"{trouble}; put quotes around special characters: \"key='value'\""
