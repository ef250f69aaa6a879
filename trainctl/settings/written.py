"""Turn settings that a file contains as a tree into words of the command line. Imports no Hydra, no torch."""

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any

from trainctl.errors import ConfigError
from trainctl.settings import component
from trainctl.settings.config import SECTIONS, Tree, knobs, leaves
from trainctl.settings.spelling import nearest, spell

OVERRIDE = "override "  # in the list `defaults` of a recipe
SELF = "_self_"
BUDGETS = ("loop.epochs", "loop.max_steps", "loop.max_time")


def expected() -> list[str]:
    """Return the keys that settings in a file may have at their top, sorted."""
    return sorted({*component.GROUPS, *SECTIONS, *knobs(), "recipe"})


def words_of(tree: Mapping[Any, Any], where: str) -> list[str]:
    """Return the words for a part of a configuration, those that select members first.

    Args:
        tree: Sections and groups, as in a run's configuration, or groups with the name of a member.
        where: The start of a message: the file.

    Raises:
        ConfigError: If it contains something else.
    """
    words: list[str] = []
    for key, value in tree.items():
        if key not in expected():
            raise ConfigError(f"{where}: {key}: no such setting{nearest(str(key), expected())}")
        words += of_group(key, value) if key in component.GROUPS else plain(str(key), value)
    return sorted(words, key=_is_setting)  # members first


def words_of_recipe(tree: Mapping[Any, Any], where: str) -> list[str]:
    """Return the words for a recipe: for the members in its list `defaults`, and for its settings.

    Raises:
        ConfigError: If it contains something else.
    """
    words = [f"{group}={spell(name)}" for group, name in selected(tree)]
    for key, value in tree.items():
        if key == "defaults":
            continue
        if key not in expected():
            raise ConfigError(f"{where}: {key}: no such setting{nearest(str(key), expected())}")
        words += plain(str(key), value)
    return words


def selected(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each group with what a recipe's list `defaults` selects of it; another recipe is one of the group recipe."""
    entries = tree.get("defaults")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, str) and entry != SELF:
            yield "recipe", entry
        elif isinstance(entry, Mapping):
            for key, name in entry.items():
                yield str(key).removeprefix(OVERRIDE).strip().removeprefix("/").partition("@")[0], name


def of_group(group: str, value: Any) -> list[str]:
    """Return the words of a group: a member's name, a list of names, or mappings with their settings.

    Raises:
        ConfigError: If the value is something else.
    """
    if isinstance(value, str) or value is None:
        return [f"{group}={value or 'none'}"]
    if isinstance(value, list):
        return [f"{group}={spell(value)}"]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{group}={spell(value)}: expected the name of a member, or name: and its settings")
    if group in component.ADDITIVE and "name" not in value:
        names = [str(name) for name in value]
        if wrong := [name for name, settings in value.items() if not isinstance(settings, Mapping | NoneType)]:
            raise ConfigError(f"{group}.{wrong[0]}={spell(value[wrong[0]])}: expected its settings, such as p: 0.5")
        members: Tree = {
            name: {key: item for key, item in (settings or {}).items() if key != "name"}
            for name, settings in value.items()
        }
        return [f"{group}=[{','.join(names)}]", *plain(group, members)]
    chosen = [f"{group}={value['name']}"] if value.get("name") else []
    return [*chosen, *plain(group, {key: item for key, item in value.items() if key != "name"})]


def plain(key: str, value: Any) -> list[str]:
    """Return a word for each setting below a key."""
    if not isinstance(value, Mapping):
        return [f"{key}={spell(value)}"]
    return [f"{name}={spell(item)}" for name, item in leaves(value, f"{key}.").items() if item != {}]


def _is_setting(word: str) -> bool:
    return "." in word.partition("=")[0]


def without_typed(words: Sequence[str], typed: Sequence[str], usual: Mapping[str, Sequence[str]]) -> list[str]:
    """Leave out the words of a file that typed words replace: the same keys, and settings of members that are not selected.

    Budgets replace each other, because a budget that is typed alone is the only one.

    Args:
        words: What a file sets.
        typed: The words of the command line.
        usual: The members that the default run selects, for each group.

    >>> without_typed(
    ...     ["optimizer=sgd", "optimizer.lr=0.1", "seed=1", "augment.flip.p=1"],
    ...     ["optimizer=adam", "augment=[flip]"],
    ...     {},
    ... )
    ['seed=1', 'augment.flip.p=1']
    """
    keys = {key_of(word) for word in typed}
    if keys & set(BUDGETS):
        keys |= set(BUDGETS)
    chosen = {key_of(word): _names(word) for word in typed if key_of(word) in component.GROUPS}
    before = dict(usual) | {key_of(word): _names(word) for word in words if key_of(word) in component.GROUPS}

    def is_kept(word: str) -> bool:
        key = key_of(word)
        group, _, rest = key.partition(".")
        if key in keys or group not in chosen or not rest:
            return key not in keys
        labels = [rest.partition(".")[0]] if group in component.ADDITIVE else before.get(group, ())
        return bool(set(labels) & set(chosen[group]))

    return [word for word in words if is_kept(word)]


def key_of(word: str) -> str:
    """Return the key of a word such as ``optimizer.lr=0.1``."""
    return word.partition("=")[0].lstrip("+")


def _names(word: str) -> list[str]:
    """Return the members that the word of a group selects; several also in a sweep."""
    return [name.strip(" []'\"") for name in word.partition("=")[2].split(",")]
