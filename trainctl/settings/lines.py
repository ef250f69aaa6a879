"""The line of each key in a YAML file. Imports no torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.tree import LARGEST, LOADER, check_size
from trainctl.fileformat.utf8 import read_text


def lines_of(path: Path) -> dict[str, int]:
    """Return the line of each dotted key, counted from 1.

    Raises:
        ConfigError: If the file cannot be read, exceeds a limit, or is not valid.
    """
    text = read_text(path, ConfigError, largest=LARGEST)
    check_size(text, path)
    with reading(path, ConfigError):
        root = yaml.compose(text, LOADER)
    return dict(_lines(root)) if root else {}


def _lines(root: yaml.Node) -> Iterator[tuple[str, int]]:
    waiting: list[tuple[str, yaml.Node]] = [("", root)]
    while waiting:
        prefix, node = waiting.pop()
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            name = f"{prefix}{key.value}"
            yield name, key.start_mark.line + 1
            waiting.append((f"{name}.", value))


def line_of(key: str, lines: Mapping[str, int]) -> int:
    """Return the line of a key, or of the section that it is in; 1 if neither is known.

    >>> line_of("loop.epochs", {"loop": 7}), line_of("seed", {})
    (7, 1)
    """
    while key not in lines and "." in key:
        key = key.rpartition(".")[0]
    return lines.get(key, 1)
