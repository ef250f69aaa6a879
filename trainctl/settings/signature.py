"""Read a component's docstring and the types of its parameters from its source file, without importing anything."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings.annotation import Module, NotUnderstood, meaning, module_of
from trainctl.settings.docstring import parse_docstring

ALLOWED = (
    'int, float, bool, str, None, Any, Literal, list, tuple, dict, unions of these, and Annotated[float, "[0, 1)"]'
)


@dataclass(frozen=True)
class Signature:
    """What the source text says about a component.

    Args:
        doc: The docstring of the function, or of the module if the function has none.
        path: The file.
        parameters: The type of each parameter.
        unclear: For each parameter whose type could not be read, a message with the file, the line and the reason.
    """

    doc: str
    path: Path
    parameters: Mapping[str, Any]
    unclear: Mapping[str, str]

    @property
    def summary(self) -> str:
        """Return a description of the component in one line."""
        return parse_docstring(self.doc).summary


@cache
def read_signature(path: Path) -> Signature:
    """Read the signature of the component in a file ``<group>/<name>.py``.

    Raises:
        ConfigError: If the file is not a Python module, or does not define a function of the same name as the file.
    """
    module = module_of(path)
    tree = module.tree
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == path.stem]
    if not functions:
        raise ConfigError(f"{path}: defines no function {path.stem}()")
    parameters: dict[str, Any] = {}
    unclear: dict[str, str] = {}
    for argument in [*functions[0].args.args, *functions[0].args.kwonlyargs]:
        try:
            parameters[argument.arg] = _type_of(argument, module)
        except NotUnderstood as error:
            unclear[argument.arg] = f"{path}, line {argument.lineno}: parameter {argument.arg}: {error}"
    return Signature(ast.get_docstring(functions[0]) or ast.get_docstring(tree) or "", path, parameters, unclear)


def _type_of(argument: ast.arg, module: Module) -> Any:
    if argument.annotation is None:
        raise NotUnderstood(
            f"has no annotation: write the type of the setting, e.g. {argument.arg}: float, or {argument.arg}: Any"
        )
    try:
        return meaning(argument.annotation, module)
    except NotUnderstood as error:
        raise NotUnderstood(f"the annotation is not understood: {error} (allowed: {ALLOWED})") from error
