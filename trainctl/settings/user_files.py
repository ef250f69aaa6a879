"""Check the user's configuration files before Hydra, which has no limits, reads them. Imports no Hydra."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_file
from trainctl.fileformat.tree import read_tree
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import component, yaml_values
from trainctl.settings.members import home, overlays, recipe_folders

OF_HYDRA = "sets Hydra's own settings, which are fixed because they name code that Hydra calls"
PACKAGE = re.compile(r"^#\s*@package\s+hydra", re.MULTILINE)


def refuse_hydras_settings(files: Iterable[Path]) -> None:
    """Check that files do not set Hydra's own settings, which name code that it loads and calls.

    Raises:
        ConfigError: If a file has a key `hydra`, or a header such as `# @package hydra.callbacks`.
    """
    for path in files:
        try:
            text, tree = read_text(path, ConfigError), read_tree(path)
        except ConfigError:
            continue  # reported by the composition
        if (isinstance(tree, dict) and "hydra" in tree) or PACKAGE.search(text):
            raise ConfigError(f"{path}: {OF_HYDRA}")


def is_ours(path: Path) -> bool:
    """Return whether a configuration file belongs to trainctl."""
    return any(path.is_relative_to(home(directory)) for directory in ("conf", "recipes"))


def refuse_other_bases(files: Iterable[Path]) -> None:
    """Check that files have no number that YAML reads in another base, such as `1:30` as 90.

    Raises:
        ConfigError: With one line for each such number.
    """
    wrong: list[str] = []
    for path in files:
        with contextlib.suppress(ConfigError):  # reported by the composition
            wrong += yaml_values.other_bases(path)
    if wrong:
        raise ConfigError(*wrong)


def hidden(directories: Sequence[Path]) -> Iterator[str]:
    """Yield a message for each of the user's files that is hidden by one of ours with the same name.

    In ./conf, here or at the root of the project, which may belong to another Hydra project, only files that look like
    ours count: those with a `name`.
    """
    found = overlays()
    for group in component.GROUPS:
        ours = {path.name for path in (home("conf") / group).glob("*.yaml")}
        for path in (path for directory in directories for path in sorted((directory / group).glob("*.yaml"))):
            if path.name in ours and not (path.parents[1] in found and is_foreign(path)):
                yield f"{path}: has the same name as a built-in {group}, which would hide it; rename the file"


def hidden_recipes(names: Iterable[str]) -> Iterator[str]:
    """Yield a message for each of the user's recipes that is hidden by one of ours with the same name; copies are fine."""
    for name in names:
        ours = home("recipes") / f"{name}.yaml"
        for path in (folder / ours.name for folder in recipe_folders()):
            if is_file(ours) and is_file(path) and read_text(path, ConfigError) != read_text(ours, ConfigError):
                yield f"{path}: has the same name as a built-in recipe, which would hide it; rename the file"


def is_foreign(path: Path) -> bool:
    """Return whether a configuration file is not one of a component: it has no `name`, or cannot be read."""
    try:
        tree = read_tree(path)
    except ConfigError:
        return True
    return not (isinstance(tree, dict) and "name" in tree)


def left_alone(directory: Path) -> Iterator[str]:
    """Yield a note for each file at the top of `--config-dir`, where Hydra projects have the settings of all runs."""
    for path in sorted(directory.glob("*.yaml")):
        yield f"{path}: is not read; to use its settings, move it to {directory / 'recipe' / path.name} and use recipe={path.stem}"
