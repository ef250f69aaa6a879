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
from trainctl.settings.config import Config


def bind(group: str, settings: Mapping[str, Any], packages: Iterable[str] = ()) -> Callable[..., Any]:
    """Import a component and return it with its parameters bound; call it with what assemble supplies.

    Args:
        group: The component's group.
        settings: ``name`` and every parameter; they must have been checked, see
            :func:`trainctl.settings.component.problems`.
        packages: The user's packages, in which it is looked up after ours.
    """
    name = settings["name"]
    packages = list(packages)
    for package in (BUILT_IN, *packages):
        if not any((folder / group / f"{name}.py").is_file() for folder in folders(package)):
            continue
        if importlib.util.find_spec(package) is None:
            sys.path.append(os.getcwd())
        function = getattr(importlib.import_module(f"{package}.{group}.{name}"), name)
        return partial(function, **{key: value for key, value in settings.items() if key != "name"})
    raise AssertionError(f"{group} {name} was not checked")


def takes(group: str, settings: Mapping[str, Any], packages: Iterable[str], parameter: str) -> bool:
    """Return whether a component has a parameter that assemble supplies."""
    return parameter in inspect.signature(bind(group, settings, packages)).parameters


def build(group: str, settings: Mapping[str, Any], packages: Iterable[str] = (), **supplied: Any) -> Any:
    """Import a component and call it with its parameters, and with what it takes of what is supplied."""
    function = bind(group, settings, packages)
    parameters = inspect.signature(function).parameters
    return function(**{key: value for key, value in supplied.items() if key in parameters})


def member(config: Config, group: str, **supplied: Any) -> Any:
    """Build the chosen member of a group."""
    return build(group, config.parts[group], config.components, **supplied)


def members(config: Config, group: str, **supplied: Any) -> list[Any]:
    """Build all chosen members of a group whose members can be combined."""
    return [build(group, settings, config.components, **supplied) for settings in config.members(group)]
