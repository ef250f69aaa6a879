"""Convert the words of the command line to a checked Config, with Hydra's composition and strict overrides.

Hydra composes the group choices (`optimizer=adam`); settings (`optimizer.lr=0.1`) are then applied here, so that
a key that does not exist is an error however it is written (`+key`, `++key`), and so that the points of a sweep
share one composition per choice of members.
"""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from trainctl.errors import Advice, ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.settings import component, habits, text, validation, yaml_values
from trainctl.settings.config import Config, Tree
from trainctl.settings.hydra_tree import compose_members
from trainctl.settings.kinds import kind_of
from trainctl.settings.members import Members, as_member, belongs_elsewhere, explain, left_out, options, overlays
from trainctl.settings.overrides import Word, literal, misuses, parse, unresolved, value_for
from trainctl.settings.recipes import headless, without_what_is_for_others
from trainctl.settings.user_files import hidden, hidden_recipes, left_alone


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Config:
    """Return the configuration of one run.

    Args:
        overrides: Words such as ``optimizer=adam`` and ``optimizer.lr=0.1``.
        config_dir: The user's directory of configuration files, in addition to ``./conf``.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    directories = overlays(config_dir)
    members = options(directories)
    parsed = parse(overrides)
    for note in left_out():
        warnings.warn(note, Advice, stacklevel=2)
    recipes = [word.text.strip("[]").split(",") for word in parsed if word.key_or_group == "recipe"]
    wrong = [*hidden(directories), *hidden_recipes(name for names in recipes for name in names)]
    wrong += [line for override in parsed for line in misuses(override, members, sweep=False)]
    if wrong:
        raise ConfigError(*wrong)
    typed = {override.key_or_group: str(override.input_line) for override in parsed}
    for note in left_alone(directories[0]) if config_dir is not None else ():
        warnings.warn(note, Advice, stacklevel=2)
    return _checked(compose_tree(parsed, typed, members, directories)[0], parsed, members)


def _checked(tree: Tree, parsed: Sequence[Word], members: Members) -> Config:
    """Check a configuration; what is wrong with a value is explained by the file that it was read from."""
    try:
        return validation.load(tree)
    except ConfigError as error:
        selected = [(word.key_or_group, path) for word in parsed for path in _files_of(word, members)]
        raise ConfigError(*yaml_values.explained(error.lines, tree, selected)) from error


def _files_of(word: Word, members: Members) -> list[Path]:
    """Return the files of the members that a word selects."""
    files = members.get(word.key_or_group, {})
    return [files[name] for name in word.text.strip("[]").split(",") if name in files]


def compose_point(
    words: Sequence[str],
    typed: Mapping[str, str],
    members: Members,
    directories: list[Path],
    optional: Collection[str],
) -> tuple[Config, list[str]]:
    """Return the configuration of one point of a sweep, and the keys among its words that do not apply to it.

    Args:
        words: All words of the point, each with one value.
        typed: What was typed for each key, for messages.
        members: The members of all groups.
        directories: The user's directories of configuration files.
        optional: Groups that vary in the sweep: a setting of another member of such a group does not apply.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    parsed = parse(words)
    if wrong := [line for override in parsed for line in misuses(override, members, sweep=True)]:
        raise ConfigError(*wrong)
    tree, unused = compose_tree(parsed, typed, members, directories, optional)
    return _checked(tree, parsed, members), unused


def compose_tree(
    parsed: list[Word],
    typed: Mapping[str, str],
    members: Members,
    directories: list[Path],
    optional: Collection[str] = (),
) -> tuple[Tree, list[str]]:
    """Compose one point; what is wrong is reported in terms of what was typed.

    Returns:
        The tree, and the keys that belong to members that are not selected, of groups in ``optional``.
    """
    choices = [override for override in parsed if override.key_or_group in members]
    composed, notes = with_members(choices, directories)
    if "recipe" in composed:  # its settings went below its own name
        recipes = [path for word in choices if word.key_or_group == "recipe" for path in _files_of(word, members)]
        if bare := headless(recipes):
            raise ConfigError(*bare)
    for note in notes:
        warnings.warn(note, Advice, stacklevel=2)
    wrong: list[str] = []
    unused: list[str] = []
    exact: dict[str, Any] = {}
    settings = [override for override in parsed if override not in choices]
    for override in sorted(settings, key=lambda override: override.key_or_group != "components"):  # types depend on it
        key = override.key_or_group
        with reading(typed[key], ConfigError, "cannot be set"):
            trouble = _lay(composed, override, typed[key], members, exact)
        if trouble and key.partition(".")[0] in optional and belongs_elsewhere(key, members):
            unused.append(key)
        else:
            wrong += trouble
    if wrong:
        raise ConfigError(*wrong)
    lift_epochs(composed, typed)
    tree = resolved(composed)
    for key, value in exact.items():
        *path, leaf = key.split(".")
        reduce(getitem, path, tree)[leaf] = value
    return tree, unused


def with_members(choices: Sequence[Word], directories: Sequence[Path]) -> tuple[Tree, list[str]]:
    """Compose the chosen members; a recipe's settings of members that were not chosen in the end are left out.

    Returns:
        The tree, which may be changed, and a note for each group of which a recipe's settings are left out.
    """
    recipes = tuple(choice(word) for word in choices if word.key_or_group == "recipe")
    others = tuple(choice(word) for word in choices if word.key_or_group != "recipe")
    every = compose_members(tuple(map(choice, choices)), tuple(directories))
    if not any(recipes) or not others:
        return copied(every), []
    alone, plain = (compose_members(words, tuple(directories)) for words in (recipes, others))
    groups = dict.fromkeys(word.partition("=")[0] for word in others)
    return without_what_is_for_others(
        copied(every), alone, copied(plain), list(groups), " ".join(filter(None, recipes))
    )


def copied(value: Any) -> Any:
    """Return a deep copy of a plain tree; copy.deepcopy takes ten times as long."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def resolved(tree: Tree) -> Tree:
    """Return a tree with its interpolations resolved.

    Raises:
        ConfigError: If a value is missing, or an interpolation leads nowhere.
    """
    if _has_interpolation(tree):
        with reading("configuration", ConfigError, "cannot be resolved", unresolved):
            container = OmegaConf.to_container(OmegaConf.create(tree), resolve=True, throw_on_missing=True)
        assert isinstance(container, dict)
        tree = {str(key): value for key, value in container.items()}
    return tree


def _has_interpolation(value: object) -> bool:
    """Return whether OmegaConf has something to resolve in a plain value, or to report as missing."""
    if isinstance(value, str):
        return "${" in value or value == "???"
    if isinstance(value, dict):
        return any(_has_interpolation(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(_has_interpolation, value))


def lift_epochs(tree: Tree, typed: Iterable[str]) -> None:
    """Set `loop.epochs` to null if another budget was typed and it was not: a user who types 60 s expects 60 s."""
    budgets = [key for key in ("max_steps", "max_time") if f"loop.{key}" in typed]
    if "loop.epochs" not in typed and any(tree["loop"].get(key) is not None for key in budgets):
        tree["loop"]["epochs"] = None


def choice(override: Word) -> str:
    """Return the word with which Hydra selects what an override selects; empty for no recipe."""
    value = override.value()
    if value in (None, []) and override.key_or_group == "recipe":
        return ""
    if value in (None, []):
        return f"{override.key_or_group}=none"
    return f"{override.key_or_group}={override.get_value_element_as_str()}"


def _lay(composed: Tree, override: Word, typed: str, members: Members, exact: dict[str, Any]) -> list[str]:
    """Set one key of a composed configuration; return what is wrong with that, if anything.

    Texts in which ``${...}`` has no meaning are added to ``exact``; something else stands for them in the tree.
    """
    key = override.key_or_group
    parent, _, leaf = key.rpartition(".")
    node: Any = composed
    for name in parent.split(".") if parent else ():
        node = node.get(name) if isinstance(node, dict) else None
    if leaf == "name" and parent.partition(".")[0] in members:
        group = parent.partition(".")[0]
        habit = "" if override.text in members[group] else habits.of_value(group, override.text, list(members[group]))
        exists = "" if habit or override.text in members[group] else f"no such {group}; "
        if habit and not habit.startswith("; use "):
            return [f"{typed}: no such {group}{habit}"]
        instead = habit[6:] or f"{group}={as_member(group, override.text)}"
        return [f"{typed}: {exists}select a member of the group with {instead}"]
    if isinstance(node, dict) and isinstance(node.get(leaf), dict):
        settings = ", ".join(f"{key}.{name}" for name in node[leaf])
        return [f"{typed}: is a section, not a value; set one of: {settings}"]
    if not isinstance(node, dict) or leaf not in node:
        line, habit = explain(key, typed, members, _chosen(composed)), habits.of_key(key, override.text)
        known = not habit or " belongs to " in line or habit.rpartition(" ")[2] in line.removeprefix(typed)
        return [line if known else f"{typed}: no such setting{habit}"]
    kind = kind_of(key, composed)
    try:
        node[leaf] = value_for(override, kind)
    except ConfigError as error:
        return list(error.lines)
    exact.pop(key, None)
    if literal(node[leaf], kind, composed):
        exact[key] = node[leaf]
        node[leaf] = _stand_in(node[leaf])
    return []


def _chosen(composed: Tree) -> dict[str, str]:
    """Return the members that are selected, for each group."""
    return {
        group: str(section.get("name") or ", ".join(section))
        for group in component.GROUPS
        if isinstance(section := composed.get(group), dict)
    }


def _stand_in(value: Any) -> Any:
    """Return what stands for a literal text while OmegaConf resolves the others: it has no way to write ``???``."""
    if isinstance(value, list):
        return [_stand_in(item) for item in value]
    return "" if value == "???" else text.escaped(value)
