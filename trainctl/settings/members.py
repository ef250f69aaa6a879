"""The members of the groups, ours and the user's: their files, their settings, and what a misspelt key probably meant.

Imports neither Hydra nor torch.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

import yaml

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import read_tree
from trainctl.settings import component, config

PACKAGE = Path(__file__).parents[1]
# Group -> member -> its file.
Members = dict[str, dict[str, Path]]


def home(name: str) -> Path:
    """Return our `conf` or `recipes`: inside an installed package, or beside it in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def overlays(config_dir: str | None = None) -> list[Path]:
    """Return the user's own configuration directories: `--config-dir`, then `./conf`."""
    own = [Path(config_dir).absolute()] if config_dir is not None else []
    if own and not (config_dir and own[0].is_dir()):
        raise ConfigError(f"--config-dir {config_dir}: no such directory")
    here = Path.cwd() / "conf"
    return own + ([here] if here.is_dir() and here.resolve() != home("conf").resolve() else [])


def options(directories: Sequence[Path]) -> Members:
    """Return each group's members with their files; of two with one name, ours comes first, as in Hydra."""
    found: Members = {}
    for group in (*component.GROUPS, "recipe"):
        files = [path for folder in (home("conf"), *directories) for path in sorted((folder / group).glob("*.yaml"))]
        files = files + sorted(home("recipes").glob("*.yaml")) if group == "recipe" else files
        found[group] = {path.stem: path for path in sorted(reversed(files), key=lambda path: path.stem)}
    return found


def hidden(directories: Sequence[Path]) -> Iterator[str]:
    """Yield a line for each file of the user's that ours of the same name would hide."""
    for group in component.GROUPS:
        ours = {path.name for path in (home("conf") / group).glob("*.yaml")}
        for path in (path for folder in directories for path in sorted((folder / group).glob("*.yaml"))):
            if path.name in ours:
                yield f"{path}: trainctl has a {group} of this name, which would hide it: rename the file"


def _known_keys(members: Members) -> dict[str, list[str]]:
    """Return every setting of every member, with the members that have it (none for the run's own knobs).

    Reads all files, 40 ms: for error messages only.
    """
    known: dict[str, list[str]] = {key: [] for key in config.knobs()}
    for section, cls in config.SECTIONS.items():
        known |= {f"{section}.{key}": [] for key in config.knobs(cls)}
    for group in component.GROUPS:
        for name, path in members[group].items():
            try:
                keys = read_tree(path)
            except (yaml.YAMLError, OSError, ValueError):
                continue  # reported if it is chosen
            prefix = f"{group}.{name}" if group in component.ADDITIVE else group
            for key in set(keys) - {"name", "defaults"} if isinstance(keys, dict) else ():
                known.setdefault(f"{prefix}.{key}", []).append(name)
    return known


def explain(key: str, line: str, members: Members, chosen: str) -> str:
    """Say that a key does not exist, or belongs to another member, and what was probably meant.

    Args:
        key: The key.
        line: The override as it was typed.
        members: All members.
        chosen: The member of the key's group that is chosen.
    """
    known = _known_keys(members)
    if owners := known.get(key):
        group = key.partition(".")[0]
        return f"{line}: {key} belongs to {group}={' and '.join(sorted(owners))}, and {group}={chosen} is chosen"
    if key in config.RENAMED:
        return f"{line}: no such setting{config.renamed(key)}"
    return f"{line}: no such setting{_suggest(key, line.partition('=')[2], known, members)}"


def _suggest(key: str, value: str, known: dict[str, list[str]], members: Members) -> str:
    same_leaf = [path for path in known if path.rpartition(".")[2] == key]
    if same_leaf:
        return f"; did you mean {' or '.join(f'{path}={value}' for path in sorted(same_leaf))}?"
    close = get_close_matches(key.lower(), known if "." in key else [*known, *members], n=1)
    if close:
        return f"; did you mean {close[0]}={value}?"
    section = key.partition(".")[0]
    inside = sorted(path for path in known if path.startswith(f"{section}."))
    return f" (settings of {section}: {', '.join(inside)})" if inside else " (trainctl --help shows all settings)"
