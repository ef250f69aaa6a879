"""(group, name) -> checked callable. The whole plug-in mechanism.

A component is the function ``trainctl.<group>.<name>.<name>``, or ``<package>.<group>.<name>.<name>`` for
each package of ``components=[...]``. Its keyword-only parameters, less those that :mod:`trainctl.run.assemble`
supplies, are the keys of ``conf/<group>/<name>.yaml``; their annotations are the schema (see
:mod:`trainctl.settings.schema`). Signatures and docstrings are read from the source text, so that checking a
configuration imports neither torch nor the component.
"""

import ast
import importlib
import importlib.util
import os
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings import schema, spelling

# What assemble supplies to the members of each group, beside the parameters in their YAML.
SUPPLIED: dict[str, frozenset[str]] = {
    "dataset": frozenset({"schema"}),
    "clean": frozenset(),
    "scale": frozenset({"values"}),
    "augment": frozenset({"input_shape", "dtype", "deviation", "draws", "task"}),
    "model": frozenset({"input_shape", "outputs", "vocabulary_size"}),
    "init": frozenset({"model", "examples"}),
    "loss": frozenset({"outputs", "class_counts"}),
    "optimizer": frozenset({"params"}),
    "schedule": frozenset({"total_steps", "steps_per_epoch", "maximize"}),
    "regularizer": frozenset({"params"}),
    "average": frozenset({"model", "optimizer", "total_steps", "steps_per_epoch"}),
    "early_stopping": frozenset({"maximize"}),
    "logger": frozenset({"directory"}),
}
# The package of our own components; its groups are the folders in it.
BUILT_IN = "trainctl.components"
GROUPS = tuple(SUPPLIED)
# Groups whose members add up: `augment=[crop,flip]`; the others take one member.
ADDITIVE = frozenset({"augment", "regularizer", "logger"})

TYPES = {
    "Annotated": typing.Annotated, "Any": Any, "Literal": typing.Literal, "None": None,
    "bool": bool, "dict": dict, "float": float, "int": int, "list": list, "str": str, "tuple": tuple,
}  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """What the source text says about a component: docstring, file, and parameters with their annotations."""

    doc: str
    path: Path
    parameters: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """The docstring's first line."""
        return self.doc.partition("\n")[0]


def folders(package: str) -> list[Path]:
    """Return where a package lies, installed or in the current directory, without importing it; empty if nowhere."""
    spec = importlib.util.find_spec(package) or PathFinder.find_spec(package, [os.getcwd()])
    return [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []


def source(group: str, name: str, packages: Iterable[str] = ()) -> Path | None:
    """Return the file of a component, looked up in our package and then in the user's, or None."""
    for package in (BUILT_IN, *packages):
        for folder in folders(package):
            if name.isidentifier() and (path := folder / group / f"{name}.py").is_file():
                return path
    return None


def names(group: str, packages: Iterable[str] = ()) -> list[str]:
    """Return the names of a group's components, sorted; ``base`` holds shared types and is none."""
    files = [
        file
        for package in (BUILT_IN, *packages)
        for folder in folders(package)
        for file in (folder / group).glob("*.py")
    ]
    return sorted({file.stem for file in files} - {"__init__", "base"})


@cache
def signature(path: Path) -> Signature:
    """Read the signature of the component in a file, without importing it."""
    function, tree = _function(path)
    group = path.parent.name
    annotations = {
        argument.arg: argument.annotation
        for argument in [*function.args.args, *function.args.kwonlyargs]
        if argument.arg not in SUPPLIED.get(group, ())
    }
    aliases = _assigned(tree)
    base = path.with_name("base.py")
    used = set().union(*map(_words, annotations.values()))
    if not used <= aliases.keys() | TYPES.keys() and base.is_file():  # it is not read for nothing
        aliases = _assigned(ast.parse(base.read_text(encoding="utf-8"))) | aliases
    parameters = {word: _evaluate(annotation, aliases) for word, annotation in annotations.items()}
    return Signature(ast.get_docstring(function) or ast.get_docstring(tree) or "", path, parameters)


def _function(path: Path) -> tuple[ast.FunctionDef, ast.Module]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a Python module: {error}") from error
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == path.stem:
            return statement, tree
    raise ConfigError(f"{path}: defines no function {path.stem}()")


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """Return what a module assigns to its names."""
    return {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _words(annotation: ast.expr | None) -> set[str]:
    """Return the names in an annotation."""
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()


def _evaluate(annotation: ast.expr | None, aliases: Mapping[str, ast.expr]) -> Any:
    """Return the type that an annotation's text means; anything we do not know is ``Any``."""
    if annotation is None:
        return Any
    known = dict(TYPES)
    for word in _words(annotation) - set(known):
        known[word] = _evaluate(aliases[word], {}) if word in aliases else Any
    try:
        return eval(compile(ast.Expression(annotation), "<annotation>", "eval"), {"__builtins__": {}}, known)  # noqa: S307 - types only, no builtins
    except (NameError, TypeError, AttributeError):
        return Any


def problems(group: str, key: str, given: Mapping[str, Any], packages: Iterable[str] = ()) -> list[str]:
    """Return what is wrong with a component's configuration, one message each; empty if it is fine.

    Args:
        group: The component's group.
        key: Where it stands in the configuration: ``optimizer``, or ``augment.flip``.
        given: ``name`` and the parameters.
        packages: The user's packages, as in ``components=[...]``.
    """
    if "name" not in given:
        if (member := key.rpartition(".")[2]) in names(group, packages):
            word = next(iter(given), "name")
            return [f"{key}.{word} belongs to {group}={member}, which is not chosen: add it, {group}=[{member}]"]
        return [f"{key}.name is missing: which {group} is meant?{spelling.nearest('', names(group, packages))}"]
    name = given["name"]
    if not isinstance(name, str) or (path := source(group, name, packages)) is None:
        return [
            f"{key}.name={spelling.spell(name)}: no such {group}{spelling.nearest(str(name), names(group, packages))}"
        ]
    wanted = signature(path).parameters
    found = [
        f"{key}.{word}: {group} {name} has no such parameter{spelling.nearest(word, wanted)}"
        for word in given
        if word != "name" and word not in wanted
    ]
    for word, annotation in wanted.items():
        if word not in given:
            found.append(f"{key}.{word} is missing: {group} {name} needs {schema.phrase(annotation)}")
        elif trouble := schema.problem(given[word], annotation):
            found.append(f"{key}.{word}={spelling.spell(given[word])}: {trouble}")
    return found
