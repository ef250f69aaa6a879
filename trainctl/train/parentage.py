"""Find and read the runs that a configuration names."""

from pathlib import Path

from trainctl.run.parent import Parent, Role
from trainctl.settings import component, encoder
from trainctl.settings.config import Config, Tree
from trainctl.store import finding, parents

# The settings that name runs: (group, member, key, role); `which` beside them says which weights.
NAMING: tuple[tuple[str, str, str, Role], ...] = (
    ("init", "run", "run", "start"),
    ("teacher", "run", "runs", "teacher"),
    ("compress", "prune", "by_run", "ranking"),
)


def find(config: Config) -> tuple[Parent, ...]:
    """Read the runs that a configuration names, from their own directories.

    Raises:
        CheckpointError: If one of them is missing or damaged.
        ConfigError: If one of them uses the user's own packages, and these are not among the run's, or is an autoencoder whose
            encoder no other model has.
    """
    found = []
    for group, member, key, role in NAMING:
        chosen = config.members(group) if group in config.parts else []
        settings: Tree = next((one for one in chosen if one.get("name") == member), {})
        value = settings.get(key)
        if not value:
            continue
        for name in value if isinstance(value, list) else [value]:
            directory = resolved(name, Path(config.output.root))
            parent = parents.open_parent(directory, role, settings.get("which", "best"), config.components)
            if role == "start":
                encoder.require_dense(parent.config.parts["model"], config.parts["model"]["name"])
            found.append(parent)
    return tuple(found)


def without_runs(tree: Tree, *, but: Role | None = None) -> Tree:
    """Return the configuration of a run that is made without training, and so names no other runs any more.

    Args:
        tree: The configuration.
        but: The role of runs that it still names; None for no runs at all.
    """
    tree = dict(tree) | ({"processes": 1} if but is None else {})  # what trains nothing is made by one process
    for group, member, key, role in NAMING:
        if role == but:
            continue
        chosen = tree.get(group, {})
        if group in component.ADDITIVE and chosen.get(member, {}).get(key):
            tree[group] = chosen | {member: chosen[member] | {key: None}}
        elif chosen.get("name") == member:
            tree[group] = {"name": "none"}
    return tree


def resolved(name: str, root: Path) -> Path:
    """Return the directory of a run: a path, or a name or a part of one below ``output.root``.

    Raises:
        CheckpointError: If there is no such run.
    """
    path = Path(name)
    return path if path.is_dir() else finding.find(path.name, root)
