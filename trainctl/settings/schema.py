"""Types with ranges: check plain values against annotations such as ``Annotated[float, "(0, inf)"]``.

The annotations of a component's function and of the dataclasses in :mod:`trainctl.settings.config` are the
whole schema of a configuration. They are read without importing torch.

What an annotation may be: ``int``, ``float``, ``bool``, ``str``, ``None``, ``Any``, ``Literal[...]``,
``list[T]``, ``tuple[T, ...]``, ``dict``, unions of these, and ``Annotated[T, constraint]`` where the
constraint is an interval (``"[0, 1)"``; infinite ends stand open), a pattern as ``"re:..."``, or ``"path"``; a
third argument says in words what is allowed.
"""

import re
import sys
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

INTERVAL = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])")
LARGEST_INT = 2**63 - 1  # what a tensor's size, or any kernel's argument, can be
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
    dict: "a mapping",
    list: "a list",
    tuple: "a list",
}


def problem(value: object, annotation: Any) -> str | None:
    """Return what is wrong with ``value``, as ``expected ...``, or None if it fits the annotation."""
    if fits(value, annotation):
        return None
    huge = isinstance(value, int) and abs(value) > LARGEST_INT
    return f"expected {phrase(annotation)}{f', at most {LARGEST_INT}' if huge else ''}"


def fits(value: object, annotation: Any) -> bool:
    """Say whether a plain value (from YAML) fits an annotation; numbers must be finite.

    >>> fits(0.5, Annotated[float, "(0, 1]"]), fits(0, Annotated[float, "(0, 1]"]), fits(True, int)
    (True, False, False)
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if origin is Annotated:
        return fits(value, arguments[0]) and meets(value, arguments[1])
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in arguments)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments)
    if (origin or annotation) in (list, tuple):
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value if arguments)
    if annotation is None or annotation is NoneType:
        return value is None
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_INT
    kind = origin or annotation
    return isinstance(value, kind) if isinstance(kind, type) else True  # a text we could not read allows anything


def meets(value: Any, constraint: str) -> bool:
    """Say whether a value of the right type lies in an interval or matches a ``re:`` pattern."""
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


def is_path(annotation: Any) -> bool:
    """Say whether an annotation allows a path.

    >>> is_path(Annotated[str, "path"] | None), is_path(str)
    (True, False)
    """
    if get_origin(annotation) is Annotated:
        return bool(get_args(annotation)[1] == "path")
    return get_origin(annotation) in (Union, UnionType) and any(map(is_path, get_args(annotation)))


def phrase(annotation: Any) -> str:
    """Say in words what an annotation allows.

    >>> phrase(Annotated[int, "[1, inf)"] | Literal["full"])
    'a whole number in [1, inf) or full'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return "anything"
    if origin is Annotated:
        if len(arguments) > 2:
            return str(arguments[2])
        constraint = arguments[1]
        if constraint == "path":
            return "a path"
        return (
            f"{phrase(arguments[0])} {'like ' + constraint[3:] if constraint.startswith('re:') else 'in ' + constraint}"
        )
    if origin in (Union, UnionType):
        return " or ".join(phrase(option) for option in arguments)
    if origin is Literal:
        return " or ".join(str(option) for option in arguments)
    if origin in (list, tuple) and arguments:
        return f"a list, each item {phrase(arguments[0])}"
    return WORDS.get(NoneType if annotation is None else origin or annotation, str(annotation))
