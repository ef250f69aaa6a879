"""Let Hydra compose the chosen members of the groups to one plain tree, from our files and the user's. Imports no torch."""

import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from trainctl.errors import ConfigError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import is_file
from trainctl.fileformat.tree import not_yaml, read_tree
from trainctl.settings.config import Tree
from trainctl.settings.members import home, options, recipe_folders
from trainctl.settings.recipes import FILES
from trainctl.settings.user_files import OF_HYDRA, is_ours, refuse_hydras_settings, refuse_other_bases
from trainctl.settings.user_source import RecipeSource, UserSource


class Overlays(SearchPathPlugin):
    """Adds the user's directories, and their directories of recipes, to Hydra's search path, after ours."""

    directories: Sequence[Path] = ()
    recipes: Sequence[Path] = ()

    def manipulate_search_path(self, search_path: Any) -> None:
        """Append each directory; Hydra calls this when it builds its search path."""
        for directory in self.directories:
            search_path.append(provider="user", path=f"user://{directory}")
        for directory in self.recipes:
            search_path.append(provider="user", path=f"recipes://{directory}")


def compose_members(choices: tuple[str, ...], directories: tuple[Path, ...]) -> Tree:
    """Let Hydra compose members; the plain tree is not checked or resolved, and is shared: copy it before a change.

    Args:
        choices: Words such as ``optimizer=adam``, or empty ones.
        directories: The user's directories of configuration files.

    Raises:
        ConfigError: If a file cannot be read, or sets what is Hydra's own.
    """
    return _compose_members(choices, directories, tuple(recipe_folders()))


@cache
def _compose_members(choices: tuple[str, ...], directories: tuple[Path, ...], recipes: tuple[Path, ...]) -> Tree:
    prepare(directories, recipes=bool(directories) or any(choice.startswith("recipe=") for choice in choices))
    files = options(directories)
    selected: list[Path] = []
    for group, _, names in (choice.partition("=") for choice in choices):
        selected += filter(None, map(files.get(group, {}).get, names.strip("[]").split(",")))
    of_the_user = [path for path in selected if not is_ours(path)]
    refuse_hydras_settings(of_the_user)
    refuse_other_bases(of_the_user)
    composed = _compose([choice for choice in choices if choice], selected)
    OmegaConf.set_struct(composed, False)
    settings = composed.pop("hydra")
    if (directories or recipes) and _without_choices(settings) != _hydras_own():
        where = (*directories, *recipes)[0]
        raise ConfigError(f"{' '.join(choices)}: {OF_HYDRA}; a file in {where} does so in its `defaults`")
    with reading(" ".join(choices) or "configuration", ConfigError, "cannot be composed"):
        tree = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def forget() -> None:
    """Forget what was composed from files, which may have changed since; for a process that trains more than once."""
    _compose_members.cache_clear()


def prepare(directories: Sequence[Path], *, recipes: bool = True) -> None:
    """Register the user's directories and our recipes with Hydra.

    Raises:
        ConfigError: If one of the user's files is too large for Hydra.
    """
    Plugins.instance().register(UserSource)
    Plugins.instance().register(RecipeSource)
    Plugins.instance().register(Overlays)  # has no effect after the first call
    Overlays.directories, Overlays.recipes = directories, recipe_folders()
    if recipes:
        _register_recipes()


@cache
def _register_recipes() -> None:
    """Register our recipes with Hydra, once per process: reading them takes a third of the time of a composition."""
    for path in sorted(home("recipes").glob("*.yaml")):
        node = with_files(_read(path), path.parent)
        ConfigStore.instance().store(name=path.stem, node=node, group="recipe", package="_global_", provider="trainctl")


def with_files(node: Any, folder: Path) -> Any:
    """Return one of our recipes with the paths of the files in the same directory, wherever trainctl is installed."""
    for group, key in FILES:
        section = node.get(group) if isinstance(node, dict) else None
        if isinstance(section, dict) and is_file(folder / str(section.get(key))):
            section[key] = str(folder / section[key])
    return node


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
    Overlays.directories = Overlays.recipes = ()
    return _without_choices(_compose([], []).hydra)


def _without_choices(settings: DictConfig) -> Tree:
    """Return Hydra's settings without those that depend on the selected members."""
    plain = OmegaConf.to_container(settings, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key not in ("overrides", "job", "runtime")}
