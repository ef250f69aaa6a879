"""List the members of the groups, ours and the user's, with their files and settings; suggest fixes for misspelt keys.

Imports neither Hydra nor torch.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_directory
from trainctl.fileformat.tree import read_tree
from trainctl.settings import component, config, project_root, renamed
from trainctl.wording import closest

PACKAGE = Path(__file__).parents[1]
# Group -> member -> file.
Members = dict[str, dict[str, Path]]


def home(name: str) -> Path:
    """Return the path of our `conf` or `recipes`: inside an installed package, or next to the package in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def overlays(config_dir: str | None = None) -> list[Path]:
    """Return the user's own configuration directories: `--config-dir`, then `./conf`, then that of the project."""
    own = [Path(config_dir).absolute()] if config_dir is not None else []
    if own and not (config_dir and is_directory(own[0])):
        raise ConfigError(f"--config-dir {config_dir}: no such directory")
    if own and not _can_be_listed(own[0]):
        raise ConfigError(f"--config-dir {config_dir}: permission denied")
    ours = home("conf").resolve()
    here = [folder for folder in _of_project("conf") if _can_be_listed(folder) and folder.resolve() != ours]
    return [*own, *here]  # nobody has named those that cannot be listed, so no command may depend on them


def recipe_folders() -> list[Path]:
    """Return the directories called `recipes` with recipes of the user: here, and at the root of the project."""
    ours = home("recipes").resolve()
    return [folder for folder in _of_project("recipes") if _can_be_listed(folder) and folder.resolve() != ours]


def _of_project(name: str) -> list[Path]:
    """Return the directories of a name here and at the root of the project around the current directory."""
    file = project_root.project_file()
    places = [Path.cwd(), *([file.parent] if file else [])]
    return [folder for place in dict.fromkeys(places) if is_directory(folder := place / name)]


def left_out() -> list[str]:
    """Return a note if there is a `./conf` whose files may not be read, or a project of another user."""
    here = Path.cwd() / "conf"
    denied = is_directory(here) and not _can_be_listed(here)
    notes = [f"{here}: permission denied; its files are left out"] if denied else []
    return [*notes, *project_root.left_out()]


def _can_be_listed(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def options(directories: Sequence[Path]) -> Members:
    """Return each group's members with their files; if two have the same name, ours takes precedence, as in Hydra."""
    members: Members = {}
    for group in (*component.GROUPS, "recipe"):
        files = [path for folder in (home("conf"), *directories) for path in sorted((folder / group).glob("*.yaml"))]
        if group == "recipe":
            folders = [home("recipes"), *recipe_folders()]
            files += [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
        members[group] = {path.stem: path for path in sorted(reversed(files), key=lambda path: path.stem)}
    return members


def _owners(members: Members) -> dict[str, list[str]]:
    """Return every setting of every member, with the members that have it (none for the run's own settings).

    This reads all files, which takes 40 ms: use it for error messages only.
    """
    owners: dict[str, list[str]] = {key: [] for key in config.knobs()}
    for section, cls in config.SECTIONS.items():
        owners |= {f"{section}.{key}": [] for key in config.knobs(cls)}
    for group in component.GROUPS:
        for name, path in members[group].items():
            try:
                keys = read_tree(path)
            except ConfigError:
                continue  # reported if it is selected
            prefix = f"{group}.{name}" if group in component.ADDITIVE else group
            for key in set(keys) - {"name", "defaults"} if isinstance(keys, dict) else ():
                owners.setdefault(f"{prefix}.{key}", []).append(name)
    return owners


def as_member(key: str, value: str) -> str:
    """Return a value for a key in a hint: for a group only members that exist, the nearest ones to those that were typed.

    >>> (
    ...     as_member("optimizer", "sdg"),
    ...     as_member("augment", "[flip,corp]"),
    ...     as_member("model", "x"),
    ...     as_member("seed", "1"),
    ... )
    ('sgd', '[flip,crop]', 'NAME', '1')
    """
    if not value or key not in (*component.GROUPS, "recipe"):
        return value
    names = list(options(overlays())[key])
    items = [word.strip() for word in value.removeprefix("[").removesuffix("]").split(",")]
    items = [word if word in names else closest(word, names) or "NAME" for word in items]
    return f"[{','.join(items)}]" if value.startswith("[") or len(items) > 1 else items[0]


@cache
def _settings_of_members(directories: tuple[Path, ...]) -> frozenset[str]:
    return frozenset(key for key, names in _owners(options(directories)).items() if names)


def belongs_elsewhere(key: str, members: Members) -> bool:
    """Return whether some member of a key's group has that setting."""
    group = key.partition(".")[0]
    folders = {path.parents[1] for path in members.get(group, {}).values()} - {home("conf")}
    return key in _settings_of_members(tuple(sorted(folders)))


def explain(key: str, line: str, members: Members, chosen: Mapping[str, str]) -> str:
    """Return the message for a key that does not exist or belongs to another member, with a suggestion.

    Args:
        key: The key.
        line: The override as it was typed.
        members: All members.
        chosen: The members that are selected, for each group.
    """
    owners = _owners(members)
    if names := owners.get(key):
        group, named = key.partition(".")[0], sorted(names)
        add = f"; add {' or '.join(f'{group}={name}' for name in named)}"
        belongs = f"{key} belongs to {group}={' and '.join(named)}"
        return f"{line}: {belongs}, but {group}={chosen.get(group, '')} is selected{add}"
    if old := renamed.hint(key):
        return f"{line}: no such setting{old}"
    return f"{line}: no such setting{_suggest(key, line.partition('=')[2], owners, members, chosen)}"


def _suggest(key: str, value: str, owners: dict[str, list[str]], members: Members, chosen: Mapping[str, str]) -> str:
    settings = list(owners)
    same_leaf = [path for path in settings if path.rpartition(".")[2] == key]
    here = [path for path in same_leaf if chosen.get(path.partition(".")[0]) in owners[path]]
    if len(here) == 1:
        return f"; did you mean {here[0]}={value}?"
    if same_leaf:
        words = [f"{_with_member(path, owners[path])}={value}" for path in sorted(same_leaf)]
        return f"; did you mean {' or '.join(words)}?"
    if any(path == key.partition(".")[2] for path in settings):  # callbacks.early_stopping.patience
        path = key.partition(".")[2]
        return f"; did you mean {_with_member(path, owners[path])}={value}?"
    if close := closest(key, settings if "." in key else [*settings, *members]):
        return f"; did you mean {close}={as_member(close, value)}?"
    section = key.partition(".")[0]
    inside = sorted(path for path in settings if path.startswith(f"{section}."))
    return (
        f" (settings of {section}: {', '.join(inside)})" if inside else " (trainctl settings lists those of all runs)"
    )


def _with_member(path: str, owners: Sequence[str]) -> str:
    """Return a setting, after the word that selects a member that has it, if the default run selects none."""
    group, *rest = path.split(".")
    if not owners or (group not in component.ADDITIVE and _default_member(group) in owners):
        return path
    return f"{group}=[{rest[0]}] {path}" if group in component.ADDITIVE else f"{group}={sorted(owners)[0]} {path}"


def _default_member(group: str) -> str:
    """Return the member that the default run selects in a group that takes one."""
    return next(iter(usual().get(group, ())), "")


@cache
def usual() -> dict[str, tuple[str, ...]]:
    """Return the members that the default run selects, for each group."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in read_tree(home("conf") / "train.yaml")["defaults"]:
        for group, names in entry.items() if isinstance(entry, dict) else ():
            found[group] = tuple(names) if isinstance(names, list) else (str(names),) if names else ()
    return found
