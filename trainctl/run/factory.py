"""A component's checked settings -> the component: import its function, bind its parameters, call it."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from trainctl.settings.component import BUILT_IN, folders


def bind(group: str, given: Mapping[str, Any], packages: Iterable[str] = ()) -> Callable[..., Any]:
    """Import a component and return it with its parameters bound; call it with what assemble supplies.

    The configuration must have been checked: see :func:`problems`.
    """
    name = given["name"]
    packages = list(packages)
    for package in (BUILT_IN, *packages):
        if not any((folder / group / f"{name}.py").is_file() for folder in folders(package)):
            continue
        if importlib.util.find_spec(package) is None:
            sys.path.append(os.getcwd())
        function = getattr(importlib.import_module(f"{package}.{group}.{name}"), name)
        return partial(function, **{key: value for key, value in given.items() if key != "name"})
    raise AssertionError(f"{group} {name} was not checked")


def takes(group: str, given: Mapping[str, Any], packages: Iterable[str], word: str) -> bool:
    """Say whether a component has a parameter that assemble supplies."""
    return word in inspect.signature(bind(group, given, packages)).parameters


def build(group: str, given: Mapping[str, Any], packages: Iterable[str] = (), **supplied: Any) -> Any:
    """Import a component and call it with its parameters, and with what it takes of what is supplied."""
    function = bind(group, given, packages)
    taken = inspect.signature(function).parameters
    return function(**{key: value for key, value in supplied.items() if key in taken})
