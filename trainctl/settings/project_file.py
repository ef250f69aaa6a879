"""Read the settings of a project, `trainctl.yaml` or `[tool.trainctl]` in pyproject.toml, with their lines. Imports no Hydra.

::

    components: [my_package]     packages with components; used once the file is trusted, see trainctl.settings.trust_store
    output: {root: results}      defaults of settings; a dotted key, output.root: results, means the same
    optimizer: sgd               defaults of groups, as in a file of settings

Paths are relative to the directory of the file.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.limits import DEEPEST_KEY, LONG_KEY, check_brackets_and_digits, check_depth
from trainctl.fileformat.tree import LARGEST, read_tree
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import component, config, kinds, paths, project_root, schema, trust_store, written
from trainctl.settings.lines import line_of, lines_of
from trainctl.settings.spelling import nearest, spell

OF_SWEEPS = "sweep"  # this section counts with -m only
HEADER = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+\s*(?:#.*)?$")
KEY = re.compile(r"^\s*([\w.\"'-]+)\s*=")
# Settings that let a file decide what is executed or contacted, and the values that do neither.
POWERS = (
    "sweep.storage",
    "sweep.slurm",
    "sweep.slurm_options",
    "sweep.slurm_setup",
    "logger.mlflow.uri",
    "logger.wandb.mode",
)
HARMLESS = ("null", "[]", "offline")
PACKAGE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def as_power(word: str) -> bool:
    """Return whether a word makes trainctl execute something or contact a machine."""
    return written.key_of(word) in POWERS and word.partition("=")[2] not in HARMLESS


@dataclass(frozen=True)
class Setting:
    """One default.

    Args:
        word: As it would be typed.
        line: Of the file.
    """

    word: str
    line: int

    @property
    def key(self) -> str:
        """Return its key."""
        return written.key_of(self.word)

    @property
    def is_power(self) -> bool:
        """Return whether it makes trainctl execute something or contact a machine."""
        return as_power(self.word)


@dataclass(frozen=True)
class Project:
    """A project: the file with its settings, and what it says.

    Args:
        path: The file.
        settings: The defaults, without the packages.
        packages: The packages with components that it names.
        line: In which it names them; 0 if it names none.
    """

    path: Path
    settings: tuple[Setting, ...]
    packages: tuple[str, ...] = ()
    line: int = 0

    @property
    def root(self) -> Path:
        """Return its directory."""
        return self.path.parent

    def is_trusted(self, powers: Iterable[str]) -> bool:
        """Return whether the user has trusted the file with some of these."""
        return set(powers) <= set(trust_store.accepted(self.path) or ())

    @property
    def output_root(self) -> str | None:
        """Return the directory for runs; None if the project does not name one."""
        found = [each.word.partition("=")[2] for each in self.settings if each.key == "output.root"]
        return found[-1] if found else None


def current() -> Project | None:
    """Return the project around the current directory; None if there is none.

    Raises:
        ConfigError: If its file is not valid.
    """
    path = project_root.project_file()
    return read(path) if path else None


def read(path: Path) -> Project:
    """Read a project's file.

    Raises:
        ConfigError: If it is not valid.
    """
    with reading(path, ConfigError):
        status = path.stat()
    return _read(path, os.getcwd(), status.st_mtime_ns, status.st_size)


def shown(path: Path) -> Path:
    """Return how a message names a file: from the current directory on, if it is in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@cache
def _read(path: Path, here: str, changed: int, size: int) -> Project:
    """Read a file once in each state of it."""
    absolute, path = path, shown(path)
    tree, lines = _yaml(path) if path.name == project_root.YAML else _toml(path)
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{path}: expected settings, one on a line, such as optimizer: sgd")
    tree = _nested(tree, path, lines)
    packages, settings = _packages(tree.pop("components", []), path, lines), []
    for key, value in tree.items():
        where = f"{path}, line {line_of(key, lines)}"
        allowed = [*written.expected(), OF_SWEEPS]
        if key not in allowed:
            raise ConfigError(f"{where}: {key}: no such setting{nearest(key, sorted(allowed))}")
        with _located(where):
            words = written.of_group(key, value) if key in component.GROUPS else written.plain(key, value)
        settings += [
            Setting(_from_root(word, absolute.parent, packages), line_of(written.key_of(word), lines)) for word in words
        ]
    return Project(absolute, tuple(settings), packages, line_of("components", lines) if packages else 0)


class _located:  # noqa: N801 - used as `with _located(where):`
    """Put the place in the file in front of an error that a value causes."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> None:
        if isinstance(raised, ConfigError):
            raise ConfigError(*(f"{self.where}: {line}" for line in raised.lines)) from raised


def _packages(value: Any, path: Path, lines: Mapping[str, int]) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and PACKAGE.fullmatch(name) for name in names):
        where = f"{path}, line {line_of('components', lines)}"
        raise ConfigError(f"{where}: components={spell(value)}: expected a list of packages, such as [my_package]")
    return tuple(dict.fromkeys(names))


def _nested(tree: Mapping[Any, Any], path: Path, lines: Mapping[str, int]) -> dict[str, Any]:
    """Return a tree in which dotted keys are sections."""
    nested: dict[str, Any] = {}
    for key, value in tree.items():
        *sections, leaf = str(key).split(".")
        if len(sections) > DEEPEST_KEY:
            raise ConfigError(f"{path}, line {line_of(str(key), lines)}: a key of more than {DEEPEST_KEY} parts")
        node = nested
        for section in sections:
            below = node.setdefault(section, {})
            if isinstance(below, str) and section in component.GROUPS:  # `optimizer: sgd` and `optimizer.lr: 0.1`
                below = node[section] = {"name": below}
            if not isinstance(below, dict):
                raise ConfigError(f"{path}, line {line_of(str(key), lines)}: {key}: {section} already has a value")
            node = below
        if isinstance(value, Mapping) and isinstance(node.get(leaf), dict) and not set(value) & set(node[leaf]):
            node[leaf] |= value
        elif leaf in node:
            raise ConfigError(f"{path}, line {line_of(str(key), lines)}: {key}: is set twice")
        else:
            node[leaf] = dict(value) if isinstance(value, Mapping) else value
    return nested


def _from_root(word: str, root: Path, packages: tuple[str, ...]) -> str:
    """Return a word whose path, if it is a relative one, starts at the directory of the file."""
    key, _, text = word.partition("=")
    of_component = key.partition(".")[0] in config.WITH_PATHS and any(
        map(schema.is_path, kinds.kinds_of(key, packages))
    )
    if key not in ("output.root", "sweep.points") and not of_component:
        return word
    if text in ("", "null") or os.path.isabs(text) or text.startswith("~") or paths.URL.match(text):  # noqa: PTH117
        return word
    return f"{key}={os.path.relpath(root / text)}"


# The two formats.


def _yaml(path: Path) -> tuple[Any, dict[str, int]]:
    """Return the tree and the line of each key."""
    tree = read_tree(path)
    return {} if tree is None else tree, lines_of(path)


def _toml(path: Path) -> tuple[Any, dict[str, int]]:
    text = read_text(path, ConfigError, largest=LARGEST)
    check_brackets_and_digits(text, path, ConfigError)
    if LONG_KEY.search(text):
        raise ConfigError(f"{path}: a key of more than {DEEPEST_KEY} parts")

    def explain(error: Exception) -> str | None:
        match = re.search(r"(.*) \(at (?:line (\d+)|end of document)", str(error))
        return f"{path}, line {match[2] or text.count(chr(10)) + 1}: not valid TOML: {match[1]}" if match else None

    with reading(path, ConfigError, "not valid TOML", explain):
        content: Any = tomllib.loads(text)
    for name in ("tool", "trainctl"):
        content = content.get(name, {}) if isinstance(content, Mapping) else {}
    check_depth(content, path, ConfigError)
    return content, dict(_lines_of_toml(text))


def _lines_of_toml(text: str) -> Iterator[tuple[str, int]]:
    """Yield the line of each key in our tables; tomllib does not tell them."""
    section: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            name = re.sub(r"\s", "", header[1])
            section = name.removeprefix("tool.trainctl") if name.startswith("tool.trainctl") else None
            if section:
                section = section.removeprefix(".")
                yield section, number
        elif section is not None and (match := KEY.match(line)):
            key = match[1].replace('"', "").replace("'", "")
            yield f"{section}.{key}" if section else key, number
