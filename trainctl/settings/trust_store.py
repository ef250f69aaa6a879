"""Which projects this user has trusted to decide what is imported, executed or contacted. Imports no Hydra, no torch.

The list lies in the user's own configuration directory, never in a project. An entry names a file, and the packages and
settings that it contained when it was trusted, so a file that contains others later asks again.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.json_text import read_json
from trainctl.fileformat.place import is_file


def store() -> Path:
    """Return the file with the list, which may not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    folder = Path(base) if Path(base).is_absolute() else Path(os.path.expanduser("~/.config"))  # noqa: PTH111 - never raises
    return folder / "trainctl" / "trusted.json"


def accepted(path: Path) -> tuple[str, ...] | None:
    """Return the packages and settings that a project's file may contain; None if the file is not trusted at all."""
    return _entries().get(_identity(path))


def with_entry(path: Path, powers: Sequence[str] | None) -> bytes:
    """Return the content of the list with an entry for a file, or without one if what it may contain is None."""
    entries = {name: list(names) for name, names in _entries().items() if name != _identity(path)}
    if powers is not None:
        entries[_identity(path)] = list(powers)
    return (json.dumps({"trusted": entries}, indent=2, ensure_ascii=True) + "\n").encode()


def _identity(path: Path) -> str:
    return os.path.realpath(path)


def _entries() -> dict[str, tuple[str, ...]]:
    """Read the list; one that cannot be read trusts nobody."""
    path = store()
    if not is_file(path):
        return {}
    try:
        content = read_json(path, ConfigError)
    except ConfigError:
        return {}
    found = content.get("trusted") if isinstance(content, dict) else None
    return {
        name: tuple(names)
        for name, names in (found.items() if isinstance(found, dict) else ())
        if isinstance(names, list) and all(isinstance(item, str) for item in names)
    }
