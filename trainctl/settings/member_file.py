"""What a member's YAML file says: its settings, its header, and the component that it names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import read_tree
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import component
from trainctl.settings.signature import Signature

Members = Mapping[str, Path]


def signature(group: str, name: str, members: Members, packages: Sequence[str]) -> Signature | None:
    """Return the signature of the component that a member's YAML names."""
    path = component.source(group, str(settings(name, members).get("name", name)), packages)
    return component.signature(path) if path else None


def settings(name: str, members: Members) -> dict[str, Any]:
    """Return the keys of a member's YAML, and of the members that its own defaults list includes."""
    own = read(members[name])
    included: dict[str, Any] = {}
    entries = own.pop("defaults", None)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, str) and entry != name and entry in members:
            included |= {key: value for key, value in read(members[entry]).items() if key != "defaults"}
    return included | own


def read(path: Path) -> dict[str, Any]:
    """Return the keys of a YAML file.

    Raises:
        ConfigError: If it has none.
    """
    tree = read_tree(path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: not a mapping of keys to values")
    return tree


def header(path: Path) -> tuple[list[str], str]:
    """Split a YAML file into its leading comments, without Hydra's directives, and the rest."""
    lines = read_text(path, ConfigError).splitlines()
    length = next((index for index, text in enumerate(lines) if not text.startswith("#")), len(lines))
    comments = [text.lstrip("#").strip() for text in lines[:length]]
    return [text for text in comments if not text.startswith("@package")], "\n".join(lines[length:])


def description(path: Path) -> list[str]:
    """Return the lines of a YAML file's header, without its commands."""
    lines = [text for text in header(path)[0] if text and not text.startswith(("trainctl ", "$ "))]
    return [text for text in lines if "=" not in text.partition(" ")[0]]  # a command that continues on a second line
