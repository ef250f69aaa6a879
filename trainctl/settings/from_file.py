"""Turn a file or directory among the words of the command line into settings: `trainctl penguins.csv`. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError
from trainctl.fileformat.place import check_directory, check_file, is_directory, is_file
from trainctl.fileformat.tree import read_tree
from trainctl.settings import component, compose, derive, existing, recipes, space_words, written
from trainctl.settings.config import Tree
from trainctl.settings.spelling import spell
from trainctl.wording import shell_words

SETTINGS = (".yaml", ".yml")
OWN = {"text": ("text",), "series": ("time", "entity", "window", "horizon")}  # settings that no other table has


@dataclass(frozen=True)
class FromFile:
    """What a file stands for.

    Args:
        words: The words that take its place, without those that were typed differently.
        reasons: Why these were chosen, a line each.
    """

    words: list[str]
    reasons: tuple[str, ...] = ()


def expanded(path: str, typed: Sequence[str]) -> FromFile:
    """Return the words that a file or a directory stands for.

    Args:
        path: A file of data or settings, or a directory.
        typed: The other words of the command line, which win.

    Raises:
        ConfigError: If nothing can be trained on it, or it is not clear what is to be predicted.
        DataError: If it cannot be read.
    """
    if Path(path).suffix.lower() in SETTINGS and is_file(Path(path)):
        return FromFile(_settings(Path(path), typed))
    if is_file(Path(path) / "config.yaml"):
        run, settings = shell_words([path]), shell_words([os.path.join(path, "config.yaml")])  # noqa: PTH118
        raise ConfigError(
            f"{path}: is a run; continue it with trainctl resume {run}, start a new one from its weights with trainctl"
            f" finetune {run}, or from its settings with trainctl {settings}"
        )
    from trainctl.fileformat.recognise import recognise

    keys = {word.partition("=")[0] for word in typed}
    where = f"dataset.path={spell(path)}"
    if "dataset" in keys:
        return FromFile([where])
    found = recognise(Path(path), _of_tables(typed))
    words = [f"dataset={found.dataset}", where]
    words += [f"dataset.{key}={spell(value)}" for key, value in found.settings.items()]
    words += [f"{group}={name}" for group, name in found.groups.items()]
    return FromFile([word for word in words if word.partition("=")[0] not in keys], found.reasons)


def in_full(path: str, typed: Sequence[str]) -> list[str]:
    """Return typed words with the settings of the data set in full: with a file, ``target=price`` needs no section.

    Args:
        path: The file or directory.
        typed: Words of the command line, of any kind.
    """
    from trainctl.fileformat.decompress import ending
    from trainctl.fileformat.recognise import ARRAYS, PARQUET, TABLES

    if not os.path.lexists(path) or is_file(Path(path) / "config.yaml"):
        return list(typed)
    kind = ending(Path(path))
    by_kind = {"csv": kind in TABLES, "series": kind in TABLES, "parquet": kind in PARQUET, "arrays": kind in ARRAYS}
    readers = [name for name, suits in by_kind.items() if suits]
    if is_directory(Path(path)):
        readers = ["image_folder"]
    if kind in TABLES or is_directory(Path(path)):
        readers.append("text")
    short = {key for name in readers for key in parameters("dataset", name)} - {"path", "schema", "unlabeled", "room"}
    return [f"dataset.{word}" if word.partition("=")[0] in short and "=" in word else word for word in typed]


def require_no_data(word: str) -> None:
    """Check that a word that names no file does not end like a file or directory that can be trained on.

    Raises:
        DataError: If it does; the message names a similar file.
    """
    from trainctl.fileformat.recognise import ARRAYS, PARQUET, TABLES

    if "=" in word:
        return
    if word.endswith("/"):
        check_directory(Path(word))
    if Path(word).suffix.lower() in {*TABLES, *ARRAYS, *PARQUET, *SETTINGS}:
        check_file(Path(word))


def require_one(path: str, other: str) -> None:
    """Check that a word next to a file or directory is not another one.

    Args:
        path: The file or directory.
        other: Another word, which is neither a setting nor a flag.

    Raises:
        ConfigError: If it names a file, or ends like one.
    """
    require_no_data(other)
    if os.path.lexists(other):
        raise ConfigError(f"{other}: a run reads one file or directory, and {path} is given already; leave one out")


def _of_tables(typed: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a data set that reads tables among typed words, by their names.

    They are those of ``dataset=csv``, unless one is typed that only texts or only series have.

    Raises:
        ConfigError: If the value of one is wrong.
    """
    names = {word.partition("=")[0] for word in typed}
    reads = next((name for name, keys in OWN.items() if names & {f"dataset.{key}" for key in keys}), "csv")
    keys = {f"dataset.{key}" for key in parameters("dataset", reads)}
    words = [word for word in typed if word.partition("=")[0] in keys]
    if not words:
        return {}
    settings = compose.compose([f"dataset={reads}", *words]).parts["dataset"]
    return {key: settings[key] for key in (word.partition("=")[0].partition(".")[2] for word in words)}


def parameters(group: str, name: str) -> Mapping[str, Any]:
    """Return the parameters of one of our components."""
    path = component.source(group, name)
    assert path
    return component.signature(path).parameters


def _settings(path: Path, typed: Sequence[str]) -> list[str]:
    """Return the words that compose the settings in a file: a whole configuration, a part of one, or a recipe.

    Raises:
        ConfigError: If it contains something else, or it is the configuration of a run and names packages that were not typed.
    """
    tree = read_tree(path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected settings, one on a line, such as optimizer: sgd")
    whole = all(isinstance(tree.get(group), dict) and tree[group].get("name") for group in ("dataset", "model", "loss"))
    if whole or _of_a_run(path):
        _require_named(path, tree, typed)
        tree = {key: value for key, value in tree.items() if key != "components"}
    if "defaults" in tree:
        return [_beside(word, path) for word in written.words_of_recipe(tree, str(path))]
    if whole:
        words = derive.words_of(existing.load(tree | {"components": space_words.packages_of(typed)}).tree)
        return [word for word in words if not word.startswith("components=")]  # those were typed
    return [_beside(word, path) for word in written.words_of(tree, str(path))]


def _of_a_run(path: Path) -> bool:
    """Return whether a file is the configuration in the directory of a run, or of a parent in it."""
    others = ("run.json", "overrides.yaml", "metrics.jsonl", "checkpoints", "parent.json")
    return path.name == "config.yaml" and any(os.path.lexists(path.parent / name) for name in others)


def _require_named(path: Path, tree: Tree, typed: Sequence[str]) -> None:
    """Check that the packages in the configuration of a run are named again: a run may come from anybody.

    Raises:
        ConfigError: If one is not.
    """
    used = tree.get("components")
    named = space_words.packages_of(typed)
    missing = [name for name in used if name not in named] if isinstance(used, list) else []
    if missing:
        raise ConfigError(
            f"{path}: uses components of your own, which are not loaded automatically: add"
            f" components=[{','.join(map(str, missing))}]"
        )


def _beside(word: str, path: Path) -> str:
    """Return a word whose path, if it does not exist here, leads to the directory of the file that it was read from."""
    key, _, value = word.partition("=")
    if key not in [".".join(each) for each in recipes.FILES] or os.path.isabs(value) or os.path.lexists(value):  # noqa: PTH117 - a text of the user
        return word
    near = path.parent / value
    return f"{key}={spell(str(near))}" if os.path.lexists(near) else word
