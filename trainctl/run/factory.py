"""Build a component from its checked settings: import its function, bind its parameters, call it."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings.component import BUILT_IN, folders, place_of, source
from trainctl.settings.config import Config

# The class that components of each group return; "callable" if a plain function is enough.
RETURNS = {
    "dataset": "trainctl.components.dataset.base.Dataset",
    "clean": "trainctl.components.clean.base.Clean",
    "scale": "trainctl.components.scale.base.Affine",
    "augment": "callable",
    "model": "torch.nn.modules.module.Module",
    "init": "builtins.NoneType",
    "loss": "trainctl.components.loss.base.Loss",
    "optimizer": "torch.optim.optimizer.Optimizer",
    "schedule": "trainctl.components.schedule.base.Schedule",  # or just the multiplier, a function
    "regularizer": "trainctl.components.regularizer.base.Regularizer",
    "compress": "trainctl.components.compress.base.Compress",
    "average": "trainctl.components.average.base.Average",
    "teacher": "trainctl.components.teacher.base.Teacher",
    "freeze": "trainctl.components.freeze.base.Freeze",
    "early_stopping": "callable",
    "metric": "trainctl.components.metric.base.Metric",
    "logger": "trainctl.components.logger.base.Logger",
}


def bind(group: str, settings: Mapping[str, Any], packages: Iterable[str] = ()) -> Callable[..., Any]:
    """Import a component and return it with its parameters bound; the caller passes the remaining arguments.

    Args:
        group: The component's group.
        settings: ``name`` and every parameter, already checked by
            :func:`trainctl.settings.component.problems`.
        packages: The user's packages, which are searched after ours.
    """
    name = settings["name"]
    packages = list(packages)
    for package in (BUILT_IN, *packages):
        if not any((folder / group / f"{name}.py").is_file() for folder in folders(package)):
            continue
        if importlib.util.find_spec(package) is None and (place := place_of(package)):
            sys.path.append(str(place))
        function = getattr(importlib.import_module(f"{package}.{group}.{name}"), name)
        return partial(function, **{key: value for key, value in settings.items() if key != "name"})
    raise AssertionError(f"{group} {name} was not checked")


def takes(group: str, settings: Mapping[str, Any], packages: Iterable[str], parameter: str) -> bool:
    """Return whether a component has a parameter that assemble supplies."""
    return parameter in inspect.signature(bind(group, settings, packages)).parameters


def build(group: str, settings: Mapping[str, Any], packages: Iterable[str] = (), **supplied: Any) -> Any:
    """Import a component and call it with its parameters, and with those supplied arguments that it accepts.

    Raises:
        ConfigError: If it does not return a component of its group.
    """
    packages = list(packages)
    function = bind(group, settings, packages)
    parameters = inspect.signature(function).parameters
    result = function(**{key: value for key, value in supplied.items() if key in parameters})
    if not _belongs_to(group, result):
        name, expected = settings["name"], RETURNS[group]
        raise ConfigError(
            f"{source(group, name, packages)}: {name}() returned {type(result).__name__}, but {group}={name} must return"
            f" {'a function' if expected == 'callable' else expected.removeprefix('builtins.')}"
        )
    return result


def _belongs_to(group: str, result: object) -> bool:
    """Return whether an object has the class that a group requires; classes are compared by name, to avoid imports."""
    expected = RETURNS[group]
    classes = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(result).__mro__}
    return expected in classes or ((expected == "callable" or group == "schedule") and callable(result))


def member(config: Config, group: str, **supplied: Any) -> Any:
    """Build the chosen member of a group."""
    return build(group, config.parts[group], config.components, **supplied)


def members(config: Config, group: str, **supplied: Any) -> list[Any]:
    """Build all chosen members of a group whose members can be combined."""
    return [build(group, settings, config.components, **supplied) for settings in config.members(group)]
