"""Derive the configuration of a new run from that of an existing one, and write it as a command. Imports no torch."""

from collections.abc import Iterable, Sequence

from trainctl.settings import component, compose, encoder
from trainctl.settings.compose import resolved
from trainctl.settings.config import Config, Tree, leaves
from trainctl.settings.existing import completed
from trainctl.settings.hydra_tree import compose_members
from trainctl.settings.members import overlays
from trainctl.settings.spelling import spell
from trainctl.wording import shell_words

BUDGETS = ("loop.epochs", "loop.max_steps", "loop.max_time")
# Were meant for the run or the session in which they were typed.
ONCE = ("loop.stop_at_step", "processes", "output.name")


def differences(tree: Tree, config_dir: str | None = None) -> list[tuple[str, str, str]]:
    """Return each setting that differs from the default run: its key, its value, and the default, as they are typed.

    The settings of a member are compared with the defaults of that member.

    Args:
        tree: The configuration of a run, perhaps of an earlier version.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If it selects a member that does not exist.
    """
    tree, directories = completed(tree), tuple(overlays(config_dir))
    selected = {group: _selected(group, tree[group]) for group in component.GROUPS}
    default = compose_members((), directories)
    usual = {group: _selected(group, default[group]) for group in component.GROUPS}
    choices = [(group, name, usual[group]) for group, name in selected.items() if name != usual[group]]
    composed = compose_members(tuple(f"{group}={name}" for group, name, _ in choices), directories)
    plain = leaves(resolved(composed | {"monitor": tree["monitor"]}))
    plain["monitor"] = default["monitor"]
    settings = [
        (key, spell(value), spell(plain[key]) if key in plain else "-")
        for key, value in leaves(tree).items()
        if not _is_name(key) and (key not in plain or plain[key] != value)
    ]
    return [*choices, *settings]


def words_of(tree: Tree, config_dir: str | None = None) -> list[str]:
    """Return the words of the command line that compose a configuration: what differs from the default run.

    Args:
        tree: The configuration of a run, perhaps of an earlier version.
        config_dir: The user's directory of configuration files.

    Raises:
        ConfigError: If it selects a member that does not exist.
    """
    return [f"{key}={value}" for key, value, _ in differences(tree, config_dir)]


def derived(
    tree: Tree, overrides: Sequence[str], config_dir: str | None = None, *, without: Iterable[str] = ()
) -> tuple[Config, list[str]]:
    """Return the configuration of a new run with the settings of an existing one, and the words that compose it.

    A group that is selected anew has its defaults, not the settings of the existing run; a budget that is typed takes the
    place of the existing run's budgets.

    Args:
        tree: The configuration of the existing run.
        overrides: What is to be different: ``key=value`` and ``group=member``.
        config_dir: The user's directory of configuration files.
        without: Groups and settings of the existing run that are not taken over.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    typed = {word.partition("=")[0] for word in overrides}
    replaced = {*typed, *(BUDGETS if typed & set(BUDGETS) else ()), *ONCE, *without, *encoder.brought(tree, overrides)}
    words = [word for word in words_of(tree, config_dir) if not _among(word.partition("=")[0], replaced)]
    words += overrides
    return compose.compose(words, config_dir), words


def command(words: Iterable[str], config_dir: str | None = None) -> str:
    """Return the command line that trains with these words, ready to paste."""
    return shell_words(["trainctl", *([] if config_dir is None else ["--config-dir", config_dir]), *words])


def _selected(group: str, settings: Tree) -> str:
    """Return what a group's setting selects, as on the command line."""
    return f"[{','.join(settings)}]" if group in component.ADDITIVE else str(settings["name"])


def _is_name(key: str) -> bool:
    group, _, rest = key.partition(".")
    return group in component.GROUPS and rest.rpartition(".")[2] == "name"


def _among(key: str, replaced: set[str]) -> bool:
    """Return whether a key is replaced, itself or as a part of a group."""
    return key in replaced or key.partition(".")[0] in replaced & set(component.GROUPS)
