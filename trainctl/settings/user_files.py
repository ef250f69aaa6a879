"""Check the user's configuration files before Hydra, which has no limits, reads them. Imports no Hydra."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import read_tree, refuse_too_large
from trainctl.fileformat.utf8 import read_text
from trainctl.settings import component
from trainctl.settings.members import home

OF_HYDRA = "sets Hydra's own settings, which are fixed because they name code that Hydra calls"
PACKAGE = re.compile(r"^#\s*@package\s+hydra", re.MULTILINE)


def refuse_bombs(directories: Iterable[Path]) -> None:
    """Check the size of all of the user's files, because a selected file may include others in its `defaults`.

    Raises:
        ConfigError: If reading a file would take too much time or memory.
    """
    for path in (path for directory in directories for path in sorted(directory.rglob("*.yaml"))):
        refuse_too_large(path)


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


def hidden(directories: Sequence[Path]) -> Iterator[str]:
    """Yield a message for each of the user's files that is hidden by one of ours with the same name."""
    for group in component.GROUPS:
        ours = {path.name for path in (home("conf") / group).glob("*.yaml")}
        for path in (path for directory in directories for path in sorted((directory / group).glob("*.yaml"))):
            if path.name in ours:
                yield f"{path}: trainctl has a {group} of this name, which would hide it; rename the file"
