"""Convert the words of the command line to a checked Config, with Hydra's composition and strict overrides.

Hydra composes the group choices (`optimizer=adam`); settings (`optimizer.lr=0.1`) are then applied here, so that
a key that does not exist is an error however it is written (`+key`, `++key`), and so that the points of a sweep
share one composition per choice of members.
"""

import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

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
from trainctl.settings.members import Members, explain, home, options, overlays
from trainctl.settings.overrides import misuses, parse, unresolved
from trainctl.settings.points import points_of
from trainctl.settings.user_files import OF_HYDRA, hidden, is_ours, refuse_bombs, refuse_hydras_settings


class Overlays(SearchPathPlugin):
    """Adds the user's directories to Hydra's search path, after ours."""

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
    return _configs(parse(overrides), [[*overrides]], overlays(config_dir), sweep=False)[0]


def compose_points(overrides: Sequence[str], config_dir: str | None = None) -> list[tuple[list[str], Config]]:
    """Return the swept overrides and the configuration of each point of a sweep, in order.

    Raises:
        ConfigError: With one line for each thing that is wrong at any point.
    """
    directories = overlays(config_dir)
    parsed = parse(overrides)
    points = points_of(parsed, options(directories))
    swept = [index for index, override in enumerate(parsed) if override.is_sweep_override()]
    configs = _configs(parsed, points, directories, sweep=True)
    return [([point[index] for index in swept], each) for point, each in zip(points, configs, strict=True)]


def _configs(parsed: list[Override], points: list[list[str]], directories: list[Path], *, sweep: bool) -> list[Config]:
    """Check every override and every composed point; return the configurations only if nothing is wrong."""
    members = options(directories)
    wrong = [*hidden(directories), *(line for override in parsed for line in misuses(override, members, sweep=sweep))]
    configs: list[Config] = []
    if not wrong:
        typed = {override.key_or_group: str(override.input_line) for override in parsed}
        for point in points:
            try:
                configs.append(config.load(_tree(parse(point) if sweep else parsed, typed, members, directories)))
            except ConfigError as error:
                wrong += str(error).split("\n")
    if wrong:
        raise ConfigError("\n".join(dict.fromkeys(wrong)))
    return configs


def _tree(parsed: list[Override], typed: dict[str, str], members: Members, directories: list[Path]) -> Tree:
    """Compose one point; error messages quote the words as they were typed."""
    choices = [override for override in parsed if override.key_or_group in members]
    composed = compose_members(tuple(map(_choice, choices)), tuple(directories)).copy()
    wrong: list[str] = []
    for override in parsed:
        if override not in choices:
            with reading(typed[override.key_or_group], ConfigError, "cannot be set"):
                wrong += _lay(composed, override, typed[override.key_or_group], members)
    if wrong:
        raise ConfigError("\n".join(wrong))
    lift_epochs(composed, typed)
    with reading("configuration", ConfigError, "cannot be resolved", unresolved):
        tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def lift_epochs(tree: DictConfig | Tree, typed: Iterable[str]) -> None:
    """Set `loop.epochs` to null if another budget was typed and it was not: a user who types 60 s expects 60 s."""
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
    """Set one key of a composed configuration; return a list of error messages."""
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
    """Compose members with Hydra; the result is not checked, and it is cached: copy it before changing it.

    Args:
        choices: Words such as ``optimizer=adam``; empty words are ignored.
        directories: The user's directories of configuration files.

    Raises:
        ConfigError: If a file cannot be read, or sets Hydra's own settings.
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
    """Register the user's directories and our recipes with Hydra.

    Raises:
        ConfigError: If one of the user's files is too large for Hydra.
    """
    Plugins.instance().register(Overlays)  # has no effect after the first call
    Overlays.directories = directories
    if recipes:
        _register_recipes()
    refuse_bombs(directories)


@cache
def _register_recipes() -> None:
    """Register our recipes with Hydra, once per process: reading them takes a third of the time of a composition."""
    for path in sorted(home("recipes").glob("*.yaml")):
        node = _read(path)
        ConfigStore.instance().store(name=path.stem, node=node, group="recipe", package="_global_", provider="trainctl")


def _read(path: Path) -> Any:
    """Read a file as Hydra does, but with our limits on its size."""
    read_tree(path)
    with reading(path, ConfigError, explain=lambda error: not_yaml(error, path)):
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def _compose(words: Sequence[str], files: Iterable[Path]) -> DictConfig:
    """Compose a configuration with Hydra.

    Args:
        words: Words such as ``optimizer=adam``.
        files: The files of the selected members.

    Raises:
        ConfigError: If composition fails; names the file at fault if it is one of these.
    """
    try:
        where = " ".join(words) or "the default run"
        with reading(where, ConfigError, "cannot be composed", not_yaml), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Hydra 1.4 deprecates version_base, which 1.3 needs
            with hydra.initialize_config_dir(str(home("conf")), job_name="trainctl", version_base="1.3"):
                return hydra.compose("train", overrides=list(words), return_hydra_config=True)
    except ConfigError:
        for path in files:
            _read(path)  # raises an error that names the file, if this file is at fault
        raise


@cache
def _hydras_own() -> Tree:
    """Return Hydra's own settings as composed without the user's files."""
    Overlays.directories = ()
    return _without_choices(_compose([], []).hydra)


def _without_choices(settings: DictConfig) -> Tree:
    """Return Hydra's settings without those that depend on the selected members."""
    plain = OmegaConf.to_container(settings, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in ("overrides", "job", "runtime")}
