"""Convert the text of an annotation to a type. Annotations are parsed, never evaluated, and nothing is imported.

An annotation may use ``typing``, ``collections.abc`` and the built-in types, under any name that an import gives them,
and aliases: those of its own module, those of the group's ``base.py``, and those imported from a module in the package
or next to it. An annotation that cannot be understood is an error: a setting of unknown type would accept every value.
"""

import ast
import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Union

from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_file
from trainctl.fileformat.source import parse_expression, parse_python
from trainctl.settings import schema

PACKAGE = Path(__file__).parents[1]
DEEPEST = 50  # of aliases of aliases, and of types inside types
PLAIN: dict[str, Any] = {
    "bool": bool, "float": float, "int": int, "str": str, "object": Any, "Any": Any,
    **dict.fromkeys(("list", "List", "Sequence", "MutableSequence", "Collection", "Iterable"), list),
    **dict.fromkeys(("tuple", "Tuple"), tuple),
    **dict.fromkeys(("dict", "Dict", "Mapping", "MutableMapping"), dict),
}  # fmt: skip
SPECIAL = frozenset({"Annotated", "Literal", "Optional", "Union"})
STANDARD = ("typing.", "typing_extensions.", "collections.abc.", "builtins.")


class NotUnderstood(Exception):
    """An annotation is not a type of the schema; the message names the part that is not."""


@dataclass(frozen=True)
class Module:
    """A module and the names at its top level.

    Args:
        tree: Its syntax tree.
        name: Its dotted name.
        root: The directory that contains its package.
        assigned: The expression that is assigned to each name.
        imported: The dotted name that each imported name refers to.
        stars: Modules from which all names are imported.
    """

    tree: ast.Module
    name: str
    root: Path
    assigned: dict[str, ast.expr]
    imported: dict[str, str]
    stars: tuple[str, ...]


def module_of(path: Path) -> Module:
    """Return the module of a component, ``<package>/<group>/<name>.py``.

    Raises:
        ConfigError: If it is not a Python module.
    """
    root = PACKAGE.parent if path.is_relative_to(PACKAGE) else path.parents[2]
    return _load(path, ".".join(path.relative_to(root).with_suffix("").parts), root)


@cache
def _load(path: Path, name: str, root: Path) -> Module:
    assigned: dict[str, ast.expr] = {}
    imported: dict[str, str] = {}
    stars: list[str] = []
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    tree = parse_python(path)
    for statement in _statements(tree):
        if isinstance(statement, ast.Assign):
            assigned |= {target.id: statement.value for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) or type(statement).__name__ == "TypeAlias":  # `type X = ...`
            target = getattr(statement, "target", None) or getattr(statement, "name", None)
            if isinstance(target, ast.Name) and (value := getattr(statement, "value", None)):
                assigned[target.id] = value
        elif isinstance(statement, ast.Import):
            for item in statement.names:
                first = item.name.partition(".")[0]
                imported[item.asname or first] = item.name if item.asname else first
        elif isinstance(statement, ast.ImportFrom):
            above = package[: len(package) - statement.level + 1] if statement.level else []
            source = ".".join([*above, *([statement.module] if statement.module else [])])
            stars += [source for item in statement.names if item.name == "*"]
            imported |= {
                item.asname or item.name: f"{source}.{item.name}" for item in statement.names if item.name != "*"
            }
    return Module(tree, name, root, assigned, imported, tuple(stars))


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module in order, including those inside ``if`` and ``try``."""
    waiting: list[ast.AST] = list(reversed(tree.body))  # no recursion: a chain of `elif` is nested deeply
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, ast.If | ast.Try | ast.ExceptHandler):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def meaning(annotation: ast.expr, module: Module, depth: int = 0) -> Any:
    """Return the type that an annotation denotes.

    Raises:
        NotUnderstood: If it is not a type of :mod:`trainctl.settings.schema`.
        ConfigError: If a module that it refers to cannot be read.
    """
    _limit(depth)
    match annotation:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return meaning(_expression(text), module, depth + 1)
        case ast.BinOp(op=ast.BitOr()):
            return _union([meaning(side, module, depth + 1) for side in (annotation.left, annotation.right)])
        case ast.Name() | ast.Attribute():
            target = _resolve(annotation, module, depth)
            if isinstance(target, tuple):
                return meaning(*target, depth + 1)
            if target in PLAIN:
                return PLAIN[target]
            raise NotUnderstood(f"{target} needs arguments in brackets")
        case ast.Subscript():
            target = _resolve(annotation.value, module, depth)
            if isinstance(target, str):
                items = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
                return _generic(target, items, module, depth + 1)
    raise NotUnderstood(f"{_short(annotation)} is not a type that a setting can have")


def _generic(name: str, items: Sequence[ast.expr], module: Module, depth: int) -> Any:
    """Return the type ``name[items]``."""
    if name == "Literal":
        return Literal[tuple(_constant(item) for item in items)]
    if name == "Annotated":
        texts = [_text(item, module, depth) for item in items[1:]]
        if len(texts) not in (1, 2):
            raise NotUnderstood("Annotated takes a type, a constraint and, optionally, what to show as allowed")
        try:
            return schema.constrained(meaning(items[0], module, depth), *texts)
        except ValueError as error:
            raise NotUnderstood(str(error)) from error
    endless = isinstance(items[-1], ast.Constant) and items[-1].value is Ellipsis if items else False
    types = [meaning(item, module, depth) for item in (items[:-1] if endless else items)]
    if name == "Union" and types and not endless:
        return _union(types)
    if name == "Optional" and len(types) == 1 and not endless:
        return _union([types[0], None])
    kind = PLAIN.get(name)
    if kind is tuple and (len(types) == 1 or (types and not endless)):
        return tuple.__class_getitem__((types[0], ...) if endless else tuple(types))
    if endless or kind not in (list, dict) or len(types) != (1 if kind is list else 2):
        raise NotUnderstood(f"{name} does not take these arguments")
    return list.__class_getitem__(types[0]) if kind is list else dict.__class_getitem__(tuple(types))


def _union(types: Sequence[Any]) -> Any:
    return Union[tuple(types)]  # noqa: UP007 - of values


def _constant(item: ast.expr) -> str | int | bool | None:
    try:
        value = ast.literal_eval(item)
    except Exception as error:  # literal_eval raises many types of errors
        raise NotUnderstood(f"{_short(item)} is not a constant, as Literal needs") from error
    if isinstance(value, str | int | bool | None):
        return value
    raise NotUnderstood(f"{_short(item)} is not a string, a whole number, true, false or null, as Literal needs")


def _text(item: ast.expr, module: Module, depth: int) -> str:
    """Return a constraint, which may be a text or the name of a constant text."""
    target = _resolve(item, module, depth) if isinstance(item, ast.Name | ast.Attribute) else (item, module)
    if isinstance(target, tuple) and isinstance(target[0], ast.Constant) and isinstance(target[0].value, str):
        return target[0].value
    raise NotUnderstood(f"{_short(item)} is not a string, as a constraint must be")


def _resolve(name: ast.expr, module: Module, depth: int) -> str | tuple[ast.expr, Module]:
    """Resolve a name to a key of PLAIN or SPECIAL, or to an expression and the module that contains it."""
    target: str | tuple[ast.expr, Module] = (name, module)
    while isinstance(target, tuple) and isinstance(target[0], ast.Name | ast.Attribute):
        _limit(depth := depth + 1)
        target = _look_up(_dotted(target[0]), target[1], depth)
    return target


def _dotted(name: ast.expr) -> str:
    """Return the text of ``a.b.c``."""
    parts = []
    while isinstance(name, ast.Attribute):
        parts.append(name.attr)
        name = name.value
    if not isinstance(name, ast.Name) or len(parts) > DEEPEST:
        raise NotUnderstood("it is not a name")
    return ".".join([name.id, *reversed(parts)])


def _look_up(name: str, module: Module, depth: int) -> str | tuple[ast.expr, Module]:
    """Return what a name refers to in a module."""
    _limit(depth)
    head, dot, rest = name.partition(".")
    if not dot and head in module.assigned:
        return module.assigned[head], module
    if head in module.imported:
        return _look_up_absolute(f"{module.imported[head]}{dot}{rest}", module, depth + 1)
    if not dot and hasattr(builtins, head):
        return _look_up_absolute(f"builtins.{head}", module, depth + 1)
    base = f"{module.name.rpartition('.')[0]}.base"
    for source in (*module.stars, base) if not dot else ():
        other = _find_module(source, module.root)
        if other and other is not module and (head in other.assigned or head in other.imported or other.stars):
            return _look_up(head, other, depth + 1)
    raise NotUnderstood(f"{name} is not defined, or not an alias of a type")


def _look_up_absolute(name: str, module: Module, depth: int) -> str | tuple[ast.expr, Module]:
    """Return what a dotted name refers to."""
    for prefix in STANDARD:
        short = name.removeprefix(prefix)
        if short != name and (short in PLAIN or short in SPECIAL):
            return short
    source, _, attribute = name.rpartition(".")
    if other := _find_module(source, module.root):
        return _look_up(attribute, other, depth + 1)
    raise NotUnderstood(f"{name.removeprefix('builtins.')} is not a type that a setting can have")


def _find_module(name: str, root: Path) -> Module | None:
    """Return a module by its dotted name, looked up next to the package and in trainctl; None if it is in neither."""
    for directory in (root, PACKAGE.parent):
        path = directory.joinpath(*name.split("."))
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if is_file(file):
                return _load(file, name, directory)
    return None


def _expression(text: str) -> ast.expr:
    """Parse an annotation in quotes."""
    try:
        return parse_expression(text)
    except ConfigError as error:
        raise NotUnderstood(str(error)) from error


def _limit(depth: int) -> None:
    if depth > DEEPEST:
        raise NotUnderstood("it refers to itself, or is nested too deeply")


def _short(node: ast.expr) -> str:
    if any(True for _ in islice(ast.walk(node), 100, None)):  # ast.unparse recurses
        return "it"
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
