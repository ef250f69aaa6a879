"""Build dataclasses from JSON, and check every field against its annotation. Imports no torch.

The annotations are those of :mod:`trainctl.settings.schema`; a field may also be a dataclass, or a list of dataclasses.
Numbers must be finite and fit into 64 bits.
"""

import typing
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from trainctl.settings import schema

T = TypeVar("T")
Count = Annotated[int, "[0, 9007199254740992]", "a whole number of at least 0"]  # 2**53: exact as a float, too
Seconds = Annotated[float, "[0, 1e15]", "a number of at least 0"]


class WrongTypeError(ValueError):
    """Raised if a field is missing, or does not match its annotation."""


def read(cls: type[T], content: object, where: str = "") -> T:
    """Build a dataclass from a mapping; keys that the class does not have are ignored.

    Args:
        cls: The dataclass.
        content: The content of a JSON file, or a part of it.
        where: Prefix of the keys in messages, such as ``state.``.

    Raises:
        WrongTypeError: If a field is missing or does not match its annotation; names the field.
    """
    if not isinstance(content, Mapping):
        raise WrongTypeError(f"{where.rstrip('.') or 'the file'}: expected a mapping")
    values: dict[str, Any] = {}
    for name, (annotation, required) in annotations(typing.cast("Hashable", cls)).items():
        if name in content:
            values[name] = value(content[name], annotation, f"{where}{name}")
        elif required:
            raise WrongTypeError(f"{where}{name} is missing")
    return cls(**values)


def read_what_fits(cls: type[T], content: object) -> T:
    """Build a dataclass from the fields of a mapping that match their annotations; all others get their defaults.

    From lists and mappings, only the matching items are kept.

    Raises:
        WrongTypeError: If a field without a default does not match; where such a dataclass is the value of a field, that
            field gets its default.
    """
    values: dict[str, Any] = {}
    for name, (annotation, _) in annotations(typing.cast("Hashable", cls)).items():
        if isinstance(content, Mapping) and name in content:
            try:
                values[name] = _fitting(content[name], annotation)
            except WrongTypeError:
                continue
    fields_of = annotations(typing.cast("Hashable", cls))
    if missing := [name for name, (_, required) in fields_of.items() if required and name not in values]:
        raise WrongTypeError(f"{missing[0]} is missing")
    return cls(**values)


def value(content: object, annotation: Any, where: str) -> Any:
    """Check a value against an annotation, and return it, with dataclasses for mappings.

    Raises:
        WrongTypeError: If it does not match.
    """
    record, several, optional = shape(annotation)
    if record is None:
        if wrong := schema.problem(content, annotation):
            raise WrongTypeError(f"{where}: {wrong}")
        return content
    if content is None and optional:
        return None
    if not several:
        return read(record, content, f"{where}.")
    if not isinstance(content, list):
        raise WrongTypeError(f"{where}: expected a list")
    return [read(record, item, f"{where}[{index}].") for index, item in enumerate(content)]


def _fitting(content: object, annotation: Any) -> Any:
    record, several, _ = shape(annotation)
    if record is not None and not several and isinstance(content, Mapping):
        return read_what_fits(record, content)
    if record is not None and several and isinstance(content, list):
        return [read(record, item) for item in content if _fits(item, record)]
    if get_origin(annotation) is dict and isinstance(content, dict):
        return {key: each for key, each in content.items() if schema.fits({key: each}, annotation)}
    if get_origin(annotation) is list and isinstance(content, list):
        return [each for each in content if schema.fits([each], annotation)]
    return value(content, annotation, "")


def _fits(content: object, record: type) -> bool:
    try:
        read(record, content)
    except WrongTypeError:
        return False
    return True


@cache
def annotations(cls: Hashable) -> dict[str, tuple[Any, bool]]:
    """Return the annotation of each field of a dataclass, and whether it has no default."""
    hints = typing.get_type_hints(cls, include_extras=True)
    described: tuple[Field[Any], ...] = fields(typing.cast("Any", cls))
    return {
        field.name: (hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in described
    }


@cache
def shape(annotation: Any) -> tuple[type | None, bool, bool]:
    """Return the dataclass in an annotation, if any; whether the annotation is a list of it, and whether None is allowed."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    for option in options:
        if is_dataclass(option):
            return typing.cast("type", option), False, NoneType in options
        if get_origin(option) is list and is_dataclass(get_args(option)[0]):
            return get_args(option)[0], True, NoneType in options
    return None, False, NoneType in options
