"""Words of the command line -> a checked Config: Hydra's search path and composition, and strict overrides.

Group choices (`optimizer=adam`) are composed by Hydra; settings (`optimizer.lr=0.1`) are then laid on top
here, so that a key that does not exist is an error however it is written (`+key`, `++key`), and so that the
points of a sweep share one composition per choice of members.
"""

import warnings
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.tree import not_yaml, read_tree
from trainctl.settings import config
from trainctl.settings.config import Config, Tree
from trainctl.settings.members import Members, belongs_elsewhere, explain, home, options, overlays
from trainctl.settings.overrides import misuses, parse, unresolved
from trainctl.settings.user_files import OF_HYDRA, hidden, is_ours, refuse_bombs, refuse_hydras_settings


class Overlays(SearchPathPlugin):
    """Puts the user's directories on Hydra's search path, after ours."""

    directories: Sequence[Path] = ()

    def manipulate_search_path(self, search_path: Any) -> None:
        """Append each directory; Hydra calls this when it builds its search path."""
        for directory in self.directories:
            search_path.append(provider="user", path=f"file://{directory}")


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
    wrong = [*hidden(directories), *(line for override in parsed for line in misuses(override, members, sweep=False))]
    if wrong:
        raise ConfigError("\n".join(dict.fromkeys(wrong)))
    typed = {override.key_or_group: str(override.input_line) for override in parsed}
    return config.load(_tree(parsed, typed, members, directories)[0])


class Point(NamedTuple):
    """One point of a sweep.

    Args:
        config: Its configuration, checked.
        unused: Keys that were given, and belong to members that it does not select.
    """

    config: Config
    unused: list[str]


def compose_point(
    words: Sequence[str], members: Members, directories: list[Path], optional: Collection[str]
) -> Point:
    """Return one point of a sweep: its configuration, and which of its words do not apply to it.

    Args:
        words: All words of the point, each with one value.
        members: The members of all groups.
        directories: The user's directories of configuration files.
        optional: Groups that vary in the sweep: a setting of another member of such a group does not apply.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    parsed = parse(words)
    if wrong := [line for override in parsed for line in misuses(override, members, sweep=True)]:
        raise ConfigError("\n".join(wrong))
    typed = {override.key_or_group: str(override.input_line) for override in parsed}
    tree, unused = _tree(parsed, typed, members, directories, optional)
    return Point(config.load(tree), unused)


def _tree(
    parsed: list[Override],
    typed: dict[str, str],
    members: Members,
    directories: list[Path],
    optional: Collection[str] = (),
) -> tuple[Tree, list[str]]:
    """Compose one point; what is wrong is reported in terms of what was typed.

    Returns:
        The tree, and the keys that belong to members that are not selected, of groups in ``optional``.
    """
    choices = [override for override in parsed if override.key_or_group in members]
    composed = compose_members(tuple(map(_choice, choices)), tuple(directories)).copy()
    wrong: list[str] = []
    unused: list[str] = []
    for override in parsed:
        key = override.key_or_group
        if override in choices:
            continue
        with reading(typed[key], ConfigError, "cannot be set"):
            trouble = _lay(composed, override, typed[key], members)
        if trouble and key.partition(".")[0] in optional and belongs_elsewhere(key, members):
            unused.append(key)
        else:
            wrong += trouble
    if wrong:
        raise ConfigError("\n".join(wrong))
    lift_epochs(composed, typed)
    with reading("configuration", ConfigError, "cannot be resolved", unresolved):
        tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}, unused


def lift_epochs(tree: DictConfig | Tree, typed: Iterable[str]) -> None:
    """Set `loop.epochs` to null if another budget was typed and it was not: who types 60 s expects 60 s."""
    budgets = [key for key in ("max_steps", "max_time") if f"loop.{key}" in typed]
    if "loop.epochs" not in typed and any(tree["loop"].get(key) is not None for key in budgets):
        tree["loop"]["epochs"] = None


def _choice(override: Override) -> str:
    value = override.value()
    if value in (None, []) and override.key_or_group == "recipe":
        return ""
    if value in (None, []):
        return f"{override.key_or_group}=none"
    return f"{override.key_or_group}={override.get_value_element_as_str()}"


def _lay(composed: DictConfig, override: Override, typed: str, members: Members) -> list[str]:
    """Set one key of a composed configuration; return what is wrong with that, if anything."""
    key = override.key_or_group
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(composed, parent, throw_on_resolution_failure=False) if parent else composed
    if leaf == "name" and parent.partition(".")[0] in members:
        group = parent.partition(".")[0]
        return [f"{typed}: select a member of the group with {group}={override.value()}"]
    if isinstance(node, DictConfig) and isinstance(node.get(leaf), DictConfig):
        settings = ", ".join(f"{key}.{name}" for name in node[leaf])
        return [f"{typed}: is a section, not a value; set one of: {settings}"]
    if not isinstance(node, DictConfig) or leaf not in node:
        group = composed.get(key.partition(".")[0])
        selected = (group.get("name") or ", ".join(group)) if isinstance(group, DictConfig) else ""
        return [explain(key, typed, members, selected)]
    OmegaConf.update(composed, key, override.value(), merge=False)
    return []


@cache
def compose_members(choices: tuple[str, ...], directories: tuple[Path, ...]) -> DictConfig:
    """Let Hydra compose members; the result is not checked, and is shared: copy it before a change.

    Args:
        choices: Words such as ``optimizer=adam``, or empty ones.
        directories: The user's directories of configuration files.

    Raises:
        ConfigError: If a file cannot be read, or sets what is Hydra's own.
    """
    prepare(directories, recipes=bool(directories) or any(choice.startswith("recipe=") for choice in choices))
    files = options(directories)
    selected: list[Path] = []
    for group, _, names in (choice.partition("=") for choice in choices):
        selected += filter(None, map(files.get(group, {}).get, names.strip("[]").split(",")))
    refuse_hydras_settings(path for path in selected if not is_ours(path))
    composed = _compose([choice for choice in choices if choice], selected)
    OmegaConf.set_struct(composed, False)
    settings = composed.pop("hydra")
    if directories and _without_choices(settings) != _hydras_own():
        raise ConfigError(f"{' '.join(choices)}: {OF_HYDRA}; a file in {directories[0]} does so in its `defaults`")
    return composed


def prepare(directories: Sequence[Path], *, recipes: bool = True) -> None:
    """Tell Hydra about the user's directories, and about our recipes.

    Raises:
        ConfigError: If a file of the user's is too large for Hydra.
    """
    Plugins.instance().register(Overlays)  # registered once, however often this is called
    Overlays.directories = directories
    if recipes:
        _register_recipes()
    refuse_bombs(directories)


@cache
def _register_recipes() -> None:
    """Store our recipes in Hydra; once per process, as reading them takes a third of the time of a composition."""
    for path in sorted(home("recipes").glob("*.yaml")):
        node = _read(path)
        ConfigStore.instance().store(name=path.stem, node=node, group="recipe", package="_global_", provider="trainctl")


def _read(path: Path) -> Any:
    """Read a file as Hydra does, within our limits."""
    read_tree(path)
    with reading(path, ConfigError, explain=lambda error: not_yaml(error, path)):
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def _compose(words: Sequence[str], files: Iterable[Path]) -> DictConfig:
    """Call Hydra.

    Args:
        words: Words such as ``optimizer=adam``.
        files: The files of the selected members.

    Raises:
        ConfigError: With the file that is wrong, if it is one of these.
    """
    try:
        where = " ".join(words) or "the default run"
        with reading(where, ConfigError, "cannot be composed", not_yaml), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Hydra 1.4 deprecates version_base, which 1.3 needs
            with hydra.initialize_config_dir(str(home("conf")), job_name="trainctl", version_base="1.3"):
                return hydra.compose("train", overrides=list(words), return_hydra_config=True)
    except ConfigError:
        for path in files:
            _read(path)  # names the file, if it is this one
        raise


@cache
def _hydras_own() -> Tree:
    """Return Hydra's own settings as they are without any file of the user's."""
    Overlays.directories = ()
    return _without_choices(_compose([], []).hydra)


def _without_choices(settings: DictConfig) -> Tree:
    """Return Hydra's settings without those that depend on what was selected."""
    plain = OmegaConf.to_container(settings, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in ("overrides", "job", "runtime")}
