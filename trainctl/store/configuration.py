"""Read the configuration of an existing run; the user's own code is loaded only from the packages that the user names."""

from collections.abc import Sequence

from trainctl.errors import CheckpointError, ConfigError
from trainctl.settings import existing
from trainctl.settings.config import Config, Tree
from trainctl.store import records, rundir
from trainctl.store.runpath import AnyPath


def read_tree(directory: AnyPath, packages: Sequence[str]) -> Tree:
    """Read a run's configuration without checking it.

    Raises:
        CheckpointError: If the configuration cannot be read.
        ConfigError: If the run uses packages that are not in ``packages``.
    """
    tree = rundir.read_config(directory)
    used = tree.get("components") or []
    if not isinstance(used, list):
        raise CheckpointError(f"{directory / 'config.yaml'}: components={used}: not a list of packages")
    if missing := [name for name in used if name not in packages]:
        raise ConfigError(
            f"{directory.name} uses components of your own, which are not loaded automatically: add"
            f" components=[{','.join(map(str, missing))}]"
        )
    return tree | {"components": list(packages)}


def read(directory: AnyPath, packages: Sequence[str]) -> Config:
    """Read and check a run's configuration; settings that an older version did not have get their defaults.

    Raises:
        CheckpointError: If it cannot be read, or this version does not understand it.
        ConfigError: If the run uses packages that are not in ``packages``.
    """
    tree = read_tree(directory, packages)
    try:
        return existing.load(tree)
    except ConfigError as error:
        writer = (records.read_facts(directory).trainctl or "an unknown version")[:40]
        versions = f" (written by trainctl {writer}; this is trainctl {rundir.version()})"
        hint = "" if writer == rundir.version() else versions
        raise CheckpointError(*error.within(f"{directory / 'config.yaml'}: ", hint)) from error
