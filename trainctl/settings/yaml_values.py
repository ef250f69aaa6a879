"""Explain values that are not allowed: what YAML made of a word in a user's file, and habits. Imports no Hydra, no torch.

YAML 1.1 reads `no` and `on` as false and true, `1:30` as 90, and `010` as 8.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.tree import LARGEST, LOADER, check_size
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import habits, kinds, schema
from trainctl.settings.config import Tree

OTHER_BASE = re.compile(r"[-+]?(?:0[0-7_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)")
TEXT = "tag:yaml.org,2002:str"


def explained(lines: Sequence[str], tree: Tree, selected: Sequence[tuple[str, Path]] = ()) -> list[str]:
    """Return the lines of a message about values, each with what to write instead, where that is known.

    Args:
        lines: What is wrong, one line for each key, such as ``dataset.target=false: expected a string``.
        tree: The configuration.
        selected: The groups and the files of the members that were selected by name.
    """
    return [_line(line, tree, selected) for line in lines]


def _line(line: str, tree: Tree, selected: Sequence[tuple[str, Path]]) -> str:
    match = re.match(r"([\w.]+)=.*?: expected ", line, re.DOTALL)
    if not match:
        return line
    key = match[1]
    for group, path in reversed(selected):
        if hint := _of_yaml(key, "" if group == "recipe" else group, path, tree):
            return f"{line}{hint}"
    return line + habits.of_value(key, _value(key, tree))


def _value(key: str, tree: Tree) -> object:
    node: Any = tree
    for name in key.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _of_yaml(key: str, group: str, path: Path, tree: Tree) -> str:
    """Return what YAML made of a key's words in a file; empty if the file does not set it, or sets a text."""
    leaf, kind = key.rpartition(".")[2], kinds.kind_of(key, tree)
    try:
        node = next((node for name, node in scalars(path) if (f"{group}.{name}" if group else name) == key), None)
    except ConfigError:
        return ""
    items = node.value if isinstance(node, yaml.SequenceNode) else [node] if node else []
    value = _value(key, tree)
    values = value if isinstance(value, list) else [value]
    words = [
        item.value for item, read in zip(items, values, strict=False) if _is_word(item) and not isinstance(read, str)
    ]
    if not words:
        return ""
    where = f"{path}, line {node.start_mark.line + 1}" if node else str(path)
    said = f"; in {where}, YAML does not read {words[0]} as a string without quotes"
    texts = [item.value for item in items if isinstance(item, yaml.ScalarNode)]
    listed = isinstance(node, yaml.SequenceNode)
    if kind is not None and not schema.fits(texts if listed else texts[0], kind):
        return ""  # a text would be wrong, too
    if kind is None:
        return said
    quoted = ", ".join(f"'{word}'" for word in texts)
    return f"{said}: quote it, {leaf}: {f'[{quoted}]' if listed else quoted}"


def _is_word(node: yaml.Node) -> bool:
    """Return whether a value is without quotes, and not null."""
    return isinstance(node, yaml.ScalarNode) and not node.style and node.tag != "tag:yaml.org,2002:null"


def scalars(path: Path) -> Iterator[tuple[str, yaml.Node]]:
    """Yield the dotted key and the node of each value, or list, in a YAML file.

    Raises:
        ConfigError: If the file cannot be read.
    """
    text = read_text(path, ConfigError, largest=LARGEST)
    check_size(text, path)
    with reading(path, ConfigError):
        root = yaml.compose(text, LOADER)
    waiting: list[tuple[str, yaml.Node]] = [("", root)] if root else []
    while waiting:
        name, node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            waiting += [(f"{name}.{key.value}" if name else str(key.value), value) for key, value in node.value]
        else:
            yield name, node


def other_bases(path: Path) -> Iterator[str]:
    """Yield a message for each number in a file that YAML reads in another base: `1:30` as 90, `010` as 8."""
    for name, node in scalars(path):
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if _is_word(item) and item.tag != TEXT and OTHER_BASE.fullmatch(item.value):
                leaf, line = name.rpartition(".")[2], item.start_mark.line + 1
                yield (
                    f"{path}, line {line}: {leaf}: YAML does not read {item.value} the way it looks: quote it if it is a string,"
                    f" {leaf}: '{item.value}', or write a plain number"
                )
