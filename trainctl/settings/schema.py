"""Check plain values against types with ranges, i.e. annotations such as ``Annotated[float, "(0, inf)"]``.

The annotations of a component's function and of the dataclasses in :mod:`trainctl.settings.config` are the
whole schema of a configuration. Torch is not imported to read them.

An annotation is ``int``, ``float``, ``bool``, ``str``, ``None``, ``Any``, ``Literal[...]``, ``list[T]``,
``tuple[T, ...]``, ``tuple[T, U]``, ``dict[K, V]``, a union of these, or ``Annotated[T, constraint]``. The constraint is an
interval (``"[0, 1)"``; an infinite end is open), a pattern (``"re:..."``), or ``"path"``; an optional third argument
is shown to the user as the description of what is allowed. Metadata of other types, such as
:class:`trainctl.settings.config.Resumable`, is ignored here.
"""

import math
import re
import sys
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from trainctl.wording import did_you_mean

INTERVAL = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])")
LARGEST_INT = 2**63 - 1  # the largest size of a tensor, or argument of a kernel
MOST_SHOWN = 30  # words that a message lists
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
    NoneType: "null",
    dict: "a mapping",
    list: "a list",
    tuple: "a list",
}


def problem(value: object, annotation: Any) -> str | None:
    """Return what is wrong with ``value``, as ``expected ...``, or None if it matches the annotation."""
    if fits(value, annotation):
        return None
    if isinstance(value, str) and (names := _names(annotation)):
        return f"expected one of {len(names)} names{did_you_mean(value, names) or f', such as {names[0]}'}"
    huge = isinstance(value, int) and abs(value) > LARGEST_INT
    return f"expected {phrase(annotation)}{f', at most {LARGEST_INT}' if huge else ''}"


def _names(annotation: Any) -> tuple[str, ...]:
    """Return the words that an annotation lists, if they are too many to be shown; empty for others."""
    names = get_args(annotation) if get_origin(annotation) is Literal else ()
    return names if len(names) > MOST_SHOWN else ()


def fits(value: object, annotation: Any) -> bool:
    """Return whether a plain value (from YAML) matches an annotation; numbers must be finite.

    >>> fits(0.5, Annotated[float, "(0, 1]"]), fits(0, Annotated[float, "(0, 1]"]), fits(True, int)
    (True, False, False)
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if origin is Annotated:
        return fits(value, arguments[0]) and all(meets(value, text) for text in _texts(annotation)[:1])
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in arguments)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments)
    kind = NoneType if annotation is None else origin or annotation
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INT
    if kind in (list, tuple):
        return isinstance(value, list) and _items_fit(value, arguments, fixed=_is_fixed(annotation))
    if kind is dict:
        return isinstance(value, dict) and all(
            fits(key, arguments[0]) and fits(item, arguments[1]) for key, item in value.items() if arguments
        )
    assert kind in WORDS, f"not a type of the schema: {annotation!r}"
    return isinstance(value, kind)


def _items_fit(value: list[object], arguments: tuple[Any, ...], *, fixed: bool) -> bool:
    if fixed:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return all(fits(item, arguments[0]) for item in value if arguments)


def _is_fixed(annotation: Any) -> bool:
    """Return whether an annotation is a tuple of a fixed number of items, such as ``tuple[int, int]``."""
    arguments = get_args(annotation)
    return get_origin(annotation) is tuple and bool(arguments) and arguments[-1] is not Ellipsis


def _texts(annotation: Any) -> list[str]:
    """Return the texts in an annotation's metadata: the constraint, and the description for the user."""
    return [entry for entry in get_args(annotation)[1:] if isinstance(entry, str)]


def meets(value: Any, constraint: str) -> bool:
    """Return whether a value of the right type lies in an interval or matches a ``re:`` pattern."""
    if constraint == "path":
        return bool(value) and "\0" not in value
    if constraint.startswith("re:"):
        return re.fullmatch(constraint[3:], value) is not None
    match = INTERVAL.fullmatch(constraint)
    assert match, f"not an interval: {constraint!r}"
    low, high = float(match[2]), float(match[3])
    above = value >= low if match[1] == "[" else value > low
    below = value <= high if match[4] == "]" else value < high
    return bool(above and below)


def constrained(annotation: Any, *texts: str) -> Any:
    """Return ``Annotated[annotation, *texts]``; in a union, annotate only the types that the constraint applies to.

    Args:
        annotation: The type to constrain.
        texts: The constraint and, optionally, the description of what is allowed, for the user.

    Raises:
        ValueError: If the constraint is not valid, or does not apply to the type.

    >>> constrained(int | None, "[1, inf)") == Annotated[int, "[1, inf)"] | None
    True
    """
    kinds = _constrainable(texts[0])
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if not any(option in kinds for option in options if option is not Any):
        raise ValueError(f"{texts[0]!r} constrains {' and '.join(kind.__name__ for kind in kinds)} only")
    return Union[tuple(Annotated[(option, *texts)] if option in kinds else option for option in options)]  # noqa: UP007


def _constrainable(constraint: str) -> tuple[type, ...]:
    """Return the types that a constraint applies to.

    Raises:
        ValueError: If it is not a constraint.
    """
    if constraint == "path":
        return (str,)
    if constraint.startswith("re:"):
        try:
            re.compile(constraint[3:])
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{constraint!r} is not a regular expression: {error}") from error
        return (str,)
    match = INTERVAL.fullmatch(constraint)
    try:
        ends = (float(match[2]), float(match[3])) if match else (math.nan, math.nan)
    except ValueError:
        ends = (math.nan, math.nan)
    if not ends[0] <= ends[1]:
        raise ValueError(
            f"{constraint!r} is not an interval such as '[0, 1)', a pattern such as 're:[a-z]+', or 'path'"
        )
    return (int, float)


def is_path(annotation: Any) -> bool:
    """Return whether an annotation allows a path.

    >>> is_path(Annotated[str, "path"] | None), is_path(str)
    (True, False)
    """
    if get_origin(annotation) is Annotated:
        return "path" in _texts(annotation)[:1]
    return get_origin(annotation) in (Union, UnionType) and any(map(is_path, get_args(annotation)))


def is_word(value: object, annotation: Any) -> bool:
    """Return whether a value is one of the words that an annotation lists.

    >>> (
    ...     is_word("auto", Literal["auto"] | Annotated[str, "path"]),
    ...     is_word("x.csv", Literal["auto"] | Annotated[str, "path"]),
    ... )
    (True, False)
    """
    if get_origin(annotation) in (Union, UnionType):
        return any(is_word(value, option) for option in get_args(annotation))
    return get_origin(annotation) is Literal and value in get_args(annotation)


def is_paths(annotation: Any) -> bool:
    """Return whether an annotation allows a list of paths.

    >>> is_paths(list[Annotated[str, "path"]]), is_paths(list[str])
    (True, False)
    """
    if get_origin(annotation) in (Union, UnionType):
        return any(map(is_paths, get_args(annotation)))
    return get_origin(annotation) is list and any(map(is_path, get_args(annotation)))


def phrase(annotation: Any) -> str:
    """Describe what an annotation allows.

    >>> phrase(Annotated[int, "[1, inf)"] | Literal["full"])
    'a whole number in [1, inf) or full'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return "anything"
    if origin is Annotated:
        return _constrained_phrase(arguments[0], *_texts(annotation))
    if origin in (Union, UnionType):
        return " or ".join(phrase(option) for option in arguments)
    if origin is Literal:
        return " or ".join("null" if option is None else str(option) for option in arguments)
    if _is_fixed(annotation):
        return f"a list of {len(arguments)} items: {', '.join(map(phrase, arguments))}"
    if origin in (list, tuple):
        return f"a list, each item {phrase(arguments[0])}"
    if origin is dict:
        return f"a mapping, each value {phrase(arguments[1])}"
    return WORDS[NoneType if annotation is None else annotation]


def _constrained_phrase(annotation: Any, constraint: str = "", words: str = "") -> str:
    if words or not constraint:
        return words or phrase(annotation)
    if constraint == "path":
        return "a path"
    return f"{phrase(annotation)} {'like ' + constraint[3:] if constraint.startswith('re:') else 'in ' + constraint}"
