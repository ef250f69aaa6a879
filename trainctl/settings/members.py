"""List the members of the groups, ours and the user's, with their files and settings; suggest fixes for misspelt keys.

Imports neither Hydra nor torch.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_directory
from trainctl.fileformat.tree import read_tree
from trainctl.settings import component, config, renamed

PACKAGE = Path(__file__).parents[1]
# Group -> member -> file.
Members = dict[str, dict[str, Path]]


def home(name: str) -> Path:
    """Return the path of our `conf` or `recipes`: inside an installed package, or next to the package in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def overlays(config_dir: str | None = None) -> list[Path]:
    """Return the user's own configuration directories: `--config-dir`, then `./conf`."""
    own = [Path(config_dir).absolute()] if config_dir is not None else []
    if own and not (config_dir and is_directory(own[0])):
        raise ConfigError(f"--config-dir {config_dir}: no such directory")
    here = Path.cwd() / "conf"
    return own + ([here] if here.is_dir() and here.resolve() != home("conf").resolve() else [])


def options(directories: Sequence[Path]) -> Members:
    """Return each group's members with their files; if two have the same name, ours takes precedence, as in Hydra."""
    members: Members = {}
    for group in (*component.GROUPS, "recipe"):
        files = [path for folder in (home("conf"), *directories) for path in sorted((folder / group).glob("*.yaml"))]
        files = files + sorted(home("recipes").glob("*.yaml")) if group == "recipe" else files
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


def explain(key: str, line: str, members: Members, selected: str) -> str:
    """Return the message for a key that does not exist or belongs to another member, with a suggestion.

    Args:
        key: The key.
        line: The override as it was typed.
        members: All members.
        selected: The member of the key's group that is selected.
    """
    owners = _owners(members)
    if names := owners.get(key):
        group = key.partition(".")[0]
        return f"{line}: {key} belongs to {group}={' and '.join(sorted(names))}, but {group}={selected} is selected"
    if old := renamed.hint(key):
        return f"{line}: no such setting{old}"
    return f"{line}: no such setting{_suggest(key, line.partition('=')[2], list(owners), members)}"


def _suggest(key: str, value: str, settings: list[str], members: Members) -> str:
    same_leaf = [path for path in settings if path.rpartition(".")[2] == key]
    if same_leaf:
        return f"; did you mean {' or '.join(f'{path}={value}' for path in sorted(same_leaf))}?"
    close = get_close_matches(key.lower(), settings if "." in key else [*settings, *members], n=1)
    if close:
        return f"; did you mean {close[0]}={value}?"
    section = key.partition(".")[0]
    inside = sorted(path for path in settings if path.startswith(f"{section}."))
    return f" (settings of {section}: {', '.join(inside)})" if inside else " (trainctl --help shows all settings)"
