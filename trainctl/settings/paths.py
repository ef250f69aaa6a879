"""Make the paths in the settings of components absolute."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.settings import component, schema
from trainctl.settings.config import Tree

URL = re.compile(r"([a-z][a-z0-9+.-]+)://")


def absolute(group: str, settings: Tree, packages: Sequence[str]) -> Tree:
    """Return the settings of a group with its paths made absolute, ``~`` included."""
    if group in component.ADDITIVE:
        return {label: _absolute_paths(group, member, packages) for label, member in settings.items()}
    return _absolute_paths(group, settings, packages)


def _absolute_paths(group: str, settings: Tree, packages: Sequence[str]) -> Tree:
    path = component.source(group, settings["name"], packages)
    assert path, f"{group} was not checked"
    annotations = component.signature(path).parameters

    def made(key: str, value: Any) -> Any:
        if isinstance(value, list) and schema.is_paths(annotations.get(key)):
            return [_absolute(f"{group}.{key}={item}", item) for item in value]
        if (
            isinstance(value, str)
            and schema.is_path(annotations.get(key))
            and not schema.is_word(value, annotations[key])
        ):
            return _absolute(f"{group}.{key}={value}", value)
        return value

    return {key: made(key, value) for key, value in settings.items()}


def _absolute(where: str, value: str) -> str:
    """Return an absolute path.

    Raises:
        ConfigError: If it is a URL or standard input.
    """
    if value == "-" and not os.path.lexists(value):
        raise ConfigError(f"{where}: standard input can be read only once, but a run reads its data again; use a file")
    if (match := URL.match(value)) and not os.path.lexists(value):
        if match[1] != "file":
            raise ConfigError(f"{where}: a URL; download the file, and give its path")
        value = unquote(value[match.end() :])
    with reading(where, ConfigError, "not a path"):  # of no user, or in a directory that has been removed
        if os.path.lexists(value):
            return os.path.abspath(value)  # noqa: PTH100 - a file may be called ~x
        path = Path(value).expanduser() if value.startswith("~") else value  # Path removes the dot of ./~x
        return os.path.abspath(path)  # noqa: PTH100 - removes `..`, does not follow links
