"""Find the type of a key: that of the run's own setting, or of a parameter of a component. Imports no Hydra, no torch."""

from collections.abc import Iterable, Mapping
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings import component, config


def kind_of(key: str, tree: Mapping[str, Any]) -> Any:
    """Return the type of a key in a configuration, which says what is selected; None if it is not known."""
    section, _, leaf = key.rpartition(".")
    group, _, label = section.partition(".")
    if group not in component.SUPPLIED:
        return _own(section, leaf)
    settings = tree.get(group)
    if group in component.ADDITIVE:
        settings = settings.get(label) if isinstance(settings, dict) else None
    elif label:
        return None
    return _parameter(group, settings, leaf, tree.get("components"))


def kinds_of(key: str, packages: Iterable[str] = ()) -> list[Any]:
    """Return the types of a key in all components that have it: in a sweep, the component may vary."""
    section, _, leaf = key.rpartition(".")
    group = section.partition(".")[0]
    if group not in component.SUPPLIED:
        kind = _own(section, leaf)
        return [] if kind is None else [kind]
    found = (_parameter(group, {"name": name}, leaf, list(packages)) for name in component.names(group, packages))
    return [kind for kind in found if kind is not None]


def _own(section: str, leaf: str) -> Any:
    if section and section not in config.SECTIONS:
        return None
    return config.knobs(config.SECTIONS[section] if section else config.Config).get(leaf)


def _parameter(group: str, settings: object, leaf: str, packages: object) -> Any:
    """Return the type of a component's parameter; None if there is no such component, which is reported later."""
    name = settings.get("name") if isinstance(settings, dict) else None
    names = [word for word in packages if isinstance(word, str)] if isinstance(packages, list) else []
    try:
        path = component.source(group, name, names) if isinstance(name, str) else None
        return component.signature(path).parameters.get(leaf) if path else None
    except ConfigError:
        return None
