"""Load the settings of an existing run: complete them for this version, and apply the changes that are allowed."""

import copy
from collections.abc import Sequence
from functools import reduce
from operator import getitem

from trainctl.errors import ConfigError
from trainctl.settings import component, config, renamed, validation, yaml_values
from trainctl.settings.config import Config, Tree
from trainctl.settings.kinds import kind_of
from trainctl.settings.members import overlays
from trainctl.settings.spelling import nearest

# The settings that may change when a run is resumed; changing others would make it a different run.
MAY_CHANGE = (*config.resumable(), *component.RESUMABLE)
# Those that may change when a run is measured, or repeated, on another machine or in other processes.
ELSEWHERE = ("device", "threads", "dataset.root", "dataset.download")
AGAIN = (*ELSEWHERE, "processes", "distributed.")
# Settings of components that are newer than the first version, and change what it did: (group, name) -> what it did.
FIRST_VERSION: dict[tuple[str, str], Tree] = {
    ("dataset", "image_folder"): {"background": "ignore"},
    ("dataset", "text"): {"normalize": "legacy"},
}


def load(tree: Tree) -> Config:
    """Return a saved configuration as a Config; settings that an older version did not have get their defaults.

    Raises:
        ConfigError: With one line for each thing that this version does not understand.
    """
    try:
        return validation.load(tree)
    except ConfigError:
        completed_tree = completed(tree)
        if completed_tree == tree:
            raise
        return validation.load(completed_tree)


def check(tree: Tree) -> Config:
    """Return a changed configuration as a Config; what is wrong with a value says what to type instead.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    try:
        return validation.load(tree)
    except ConfigError as error:
        raise ConfigError(*yaml_values.explained(error.lines, tree)) from error


def completed(tree: Tree) -> Tree:
    """Add the settings that an older version did not have to a saved configuration, with the defaults of our YAML.

    Missing groups, sections and keys of the selected members are added, and renamed settings get their current names.
    Values do not change, so a key that this version does not have is still an error when the configuration is checked.
    """
    from trainctl.settings.compose import resolved  # these know Hydra, which a process that only trains need not import
    from trainctl.settings.hydra_tree import compose_members

    tree = _as_first_version(renamed.with_new_names(tree))
    selected = {
        group: f"[{','.join(map(str, settings))}]" if group in component.ADDITIVE else str(settings.get("name"))
        for group in component.GROUPS
        if isinstance(settings := tree.get(group), dict) and settings
    }
    try:
        composed = compose_members(tuple(f"{group}={names}" for group, names in selected.items()), tuple(overlays()))
        defaults = resolved(composed | {"monitor": tree.get("monitor", composed["monitor"])})  # others refer to it
    except ConfigError:
        return tree  # errors are reported when the configuration is checked
    return _filled(tree, defaults)


def _as_first_version(tree: Tree) -> Tree:
    """Return a saved configuration in which missing settings have the value that repeats what was done without them.

    >>> _as_first_version({"dataset": {"name": "text"}, "model": {"name": "rnn"}})["dataset"]
    {'normalize': 'legacy', 'name': 'text'}
    """
    former = {
        group: FIRST_VERSION[group, str(settings.get("name"))] | settings
        for group, settings in tree.items()
        if isinstance(settings, dict) and (group, str(settings.get("name"))) in FIRST_VERSION
    }
    return tree | former


def _filled(tree: Tree, defaults: Tree) -> Tree:
    """Return a tree with the missing keys added from the defaults; members that were not selected are not added."""
    deeper = {
        key: _filled(value, defaults[key])
        for key, value in tree.items()
        if isinstance(value, dict)
        and isinstance(defaults.get(key), dict)
        and value.get("name") == defaults[key].get("name")
    }
    return defaults | tree | deeper


def change(tree: Tree, overrides: Sequence[str], allowed: Sequence[str]) -> Tree:
    """Return the configuration of an existing run with some settings changed; the result is not checked.

    Args:
        tree: The run's configuration; it is not changed.
        overrides: Words such as ``loop.epochs=50``.
        allowed: The keys that may change; ``early_stopping.`` stands for every key below it.

    Raises:
        ConfigError: If a key does not exist or may not change.
    """
    from trainctl.settings.compose import lift_epochs
    from trainctl.settings.overrides import parse, plain_value

    changed = copy.deepcopy(tree)
    settings = config.leaves(tree)
    keys = sorted(key for key in settings if among(key, allowed) and not is_name(key))
    wrong = []
    parsed = parse(overrides)
    for override in parsed:
        key = override.key_or_group
        if key not in keys:
            if key in settings or key in component.GROUPS:  # the nearest name would be another setting
                reason = f"cannot change in an existing run; start a new one (choose from: {', '.join(keys)})"
            else:
                reason = f"no such setting{renamed.hint(key) or nearest(key, keys)}"
            wrong.append(f"{override.input_line}: {reason}")
        elif override.is_delete():
            wrong.append(f"{override.input_line}: expected one value")
        else:
            *path, leaf = key.split(".")
            try:
                reduce(getitem, path, changed)[leaf] = plain_value(override, kind_of(key, tree))
            except ConfigError as error:
                wrong.append(
                    f"{override.input_line}: expected one value" if override.is_sweep_override() else str(error)
                )
    if wrong:
        raise ConfigError(*wrong)
    if isinstance(changed.get("loop"), dict):
        lift_epochs(changed, [override.key_or_group for override in parsed])
    return changed


def is_name(key: str) -> bool:
    """Return whether a key is the name of a selected member, which makes it what it is."""
    group, _, rest = key.partition(".")
    return group in component.GROUPS and rest.rpartition(".")[2] == "name"


def among(key: str, keys: Sequence[str]) -> bool:
    """Return whether a key is in a list in which ``early_stopping.`` stands for every key below it.

    >>> among("loop.epochs", ["loop."]), among("loop.epochs", ["loop.epoch"])
    (True, False)
    """
    return any(key == one or (one.endswith(".") and key.startswith(one)) for one in keys)
