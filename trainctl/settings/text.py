"""Read the value of a setting that is a text, or a list of texts, as the shell passed it. Imports no Hydra, no torch.

A text is taken character by character; only a whole value in quotes loses them, and null stays null. Hydra's grammar
would refuse `größe`, turn `2010` into a number, and split at a comma. The items of a list are separated by commas
outside of brackets and of quotes around a whole item.
"""

import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from trainctl.wording import quoted, spell_item

QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
PAIRS = {"[": "]", "(": ")", "{": "}"}


def is_text(annotation: Any) -> bool:
    """Return whether a setting is a text, a path, or null, and nothing else.

    >>> is_text(Annotated[str, "path"] | None), is_text(str | int), is_text(list[str])
    (True, False, False)
    """
    kinds = set(_options(annotation))
    return str in kinds and kinds <= {str, NoneType}


def is_texts(annotation: Any) -> bool:
    """Return whether a setting is a list of texts, or null, and nothing else.

    >>> is_texts(list[str]), is_texts(list[int]), is_texts(tuple[str, ...] | None)
    (True, False, True)
    """
    kinds = [kind for kind in _options(annotation) if kind is not NoneType]
    return bool(kinds) and all(
        get_origin(kind) in (list, tuple) and all(is_text(item) for item in get_args(kind) if item is not Ellipsis)
        for kind in kinds
    )


def is_text_or_texts(annotation: Any) -> bool:
    """Return whether a setting is a text or a list of texts: a value in square brackets is the list.

    >>> is_text_or_texts(str | list[str] | None), is_text_or_texts(str), is_text_or_texts(str | int)
    (True, False, False)
    """
    kinds = list(_options(annotation))
    lists = [kind for kind in kinds if get_origin(kind) in (list, tuple)]
    others = [kind for kind in kinds if kind not in lists]
    return bool(lists) and str in others and all(map(is_texts, lists)) and set(others) <= {str, NoneType}


def holds_text(annotation: Any) -> bool:
    """Return whether a setting is a text, a list of texts, or either."""
    return is_text(annotation) or is_texts(annotation) or is_text_or_texts(annotation)


def _options(annotation: Any) -> Iterator[Any]:
    """Yield the types of a union, without their constraints."""
    if get_origin(annotation) is Annotated:
        yield from _options(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield NoneType if annotation is None else annotation


def read_text(text: str) -> str | None:
    r"""Return the value of a setting that is a text.

    >>> [read_text(word) for word in ("it's", "2010", "null", "'null'", r"'it\'s'", "'a' or 'b'")]
    ["it's", '2010', None, 'null', "it's", "'a' or 'b'"]
    """
    return None if text == "null" else unquoted(text)


def unquoted(text: str) -> str:
    r"""Return a text without the quotes around it; inside, a backslash protects a quote and a backslash before one."""
    if not QUOTED.fullmatch(text):
        return text
    quote, inside = text[0], text[1:-1]
    return re.sub(r"(\\+)(" + quote + r"|\Z)", lambda found: "\\" * (len(found[1]) // 2) + found[2], inside)


def spell_text(text: str, *, item: bool = False) -> str:
    r"""Return a text as it is typed: in quotes only where it would be read as something else.

    Args:
        text: The value.
        item: Whether it is an item of a list.

    >>> spell_text("a,b"), spell_text("a,b", item=True), spell_text("null"), spell_text("'x'")
    ('a,b', "'a,b'", "'null'", '"\'x\'"')
    """
    if item:
        return spell_item(text)
    bracketed = read_items(text) is not None  # would be a list where one is allowed
    return text if read_text(text) == text and not bracketed else quoted(text)


def read_items(text: str) -> list[str] | None:
    """Return the items of ``[a,b]``, or None if the text is not in square brackets.

    >>> read_items("[price (€),'a,b', [z] ]"), read_items("[]"), read_items("a")
    (['price (€)', 'a,b', '[z]'], [], None)
    """
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]") and len(text) > 1):
        return None
    inside = text[1:-1]
    return [unquoted(item) for item in split(inside)] if inside.strip() else []


def split(text: str) -> list[str]:
    """Split at the commas outside of brackets, and of quotes around a whole item; brackets without a partner are text.

    >>> split("a, 'b,c',f(x,y)"), split("it's,isn't"), split("a(,b")
    (['a', "'b,c'", 'f(x,y)'], ["it's", "isn't"], ['a(', 'b'])
    """
    partners = _partners(text)
    parts, start, place = [], 0, 0
    while place < len(text):
        blank = len(text) - len(text[place:].lstrip()) if place == start else place
        if place == start and (match := QUOTED.match(text, blank)) and _ends_item(text, match.end()):
            place = match.end()
        elif text[place] == ",":
            parts.append(text[start:place].strip())
            start = place = place + 1
        else:
            place = partners.get(place, place) + 1
    return [*parts, text[start:].strip()]


def _ends_item(text: str, place: int) -> bool:
    rest = text[place:].lstrip()
    return not rest or rest[0] == ","


def _partners(text: str) -> dict[int, int]:
    """Return the position of the bracket that closes each opening one, if there is one."""
    found, waiting = {}, []
    for place, character in enumerate(text):
        if character in PAIRS:
            waiting.append((place, PAIRS[character]))
        elif waiting and character == waiting[-1][1]:
            found[waiting.pop()[0]] = place
    return found


def escaped(value: Any) -> Any:
    r"""Return a text, or a list of texts, in which ``${`` is no interpolation.

    >>> escaped(["${x}", "$x"])
    ['\\${x}', '$x']
    """
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return re.sub(r"(\\*)\$\{", lambda found: f"{found[1] * 2}\\${{", value) if isinstance(value, str) else value
