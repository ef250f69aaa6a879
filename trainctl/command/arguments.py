"""Parse the arguments of a command: names of runs and files, options as ``key=value``, overrides. Imports no torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_directory
from trainctl.settings import component, config, habits, project, project_file
from trainctl.settings.spelling import nearest
from trainctl.settings.text import read_items, split
from trainctl.store.finding import find
from trainctl.wording import closest

ROOT = "runs"  # the directory for runs, unless the project or the user names another
PATHS = ("root", "output")  # options in which a leading ~ is expanded; the shell does so only at the start of a word
CONFIG_DIR = ("--config-dir", "-cd")
# Settings of a data set that say how a file of rows to predict is written.
OF_A_FILE = tuple(
    f"dataset.{key}"
    for key in ("delimiter", "encoding", "header", "decimal", "thousands", "dates", "missing", "skip", "unknown")
)


@dataclass(frozen=True)
class ParsedArguments:
    """The arguments of a command.

    Args:
        names: Arguments without ``=``, in order.
        options: The command's own options; defaults are filled in.
        overrides: All other ``key=value`` arguments.
        config_dir: The value of ``--config-dir``, a directory of the user's configuration files; None without.
    """

    names: list[str]
    options: dict[str, str]
    overrides: list[str]
    config_dir: str | None = None


def parse(
    argv: Sequence[str],
    defaults: Mapping[str, str],
    *,
    most_names: int,
    overrides: bool = False,
    standard_input: bool = False,
    composes: bool = False,
    one_process: str = "",
) -> ParsedArguments:
    """Split a command's arguments into names, options and overrides.

    Args:
        argv: The arguments after the command.
        defaults: The command's options, with their defaults.
        most_names: Maximum number of arguments without ``=``.
        overrides: Whether the command accepts ``key=value`` arguments other than its options.
        standard_input: Whether `-` is the name of standard input.
        composes: Whether the command composes a configuration, and therefore accepts ``--config-dir``.
        one_process: The command's name, if it trains nothing, so that settings of several processes are refused.

    Raises:
        ConfigError: If there are a flag, too many names, or an option that the command does not have.
    """
    config_dir, argv = _config_dir(argv) if composes else (None, argv)
    parsed = ParsedArguments([], _with_project(defaults), [], config_dir)
    for index, argument in enumerate(argv):
        key, equals, value = argument.partition("=")
        if key not in defaults and not is_setting(key) and _exists(argument):  # a file may be called -x or a=b
            parsed.names.append(argument)
        elif argument.startswith("-") and not (standard_input and argument == "-"):
            option = argument.lstrip("-").partition("=")[0].replace("-", "_")
            after = [value] if equals else [word for word in argv[index + 1 : index + 2] if not word.startswith("-")]
            flags = "--help and --config-dir" if composes else "--help"
            hint = f": {option}={''.join(after) or 'VALUE'}" if option in defaults or is_setting(option) else ""
            hint = hint or habits.of_option(option, "".join(after), defaults)
            raise ConfigError(
                f"{argument}: this command takes no flags other than {flags}; write options as key=value{hint}"
            )
        elif not equals or not key.replace(".", "").isidentifier():  # the names of a sweep's trials also contain "="
            parsed.names.append(argument)
        elif key in defaults and not value and not (key == "output" and defaults[key]):  # there, empty means no file
            raise ConfigError(f"{argument}: expected a value; check the shell variable that it comes from")
        elif key in defaults:
            parsed.options[key] = _home_expanded(key, value) if key in PATHS else value
        elif overrides and one_process and key.partition(".")[0] in ("processes", "distributed"):
            raise ConfigError(f"{argument}: {one_process} uses one process, however many trained the run: leave it out")
        elif overrides and (
            is_setting(key) or not (_is_option(key, defaults) or habits.of_option(key, value, defaults))
        ):
            parsed.overrides.append(argument)
        elif habit := habits.of_option(key, value, defaults):
            raise ConfigError(f"{argument}: no such option{habit}")
        else:
            raise ConfigError(f"{argument}: no such option{nearest(key, defaults)}")
    if len(parsed.names) > most_names:
        extra = parsed.names[most_names]
        others = overrides and most_names and _exists(extra)
        hint = f"; other data are given with dataset.path={extra}" if others else "; write options as key=value"
        raise ConfigError(f"{extra}: unexpected argument{hint}")
    return parsed


def _is_option(key: str, defaults: Mapping[str, str]) -> bool:
    """Return whether a word that is no setting looks like a misspelt option of the command."""
    return closest(key, defaults) is not None and not habits.of_key(key, "")


def words_of(config_dir: str | None) -> list[str]:
    """Return the words that pass on ``--config-dir``, for a command that is printed."""
    return [] if config_dir is None else [CONFIG_DIR[0], config_dir]


def _config_dir(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the value of ``--config-dir``, and the other arguments.

    Raises:
        ConfigError: If it has no value.
    """
    words, found = iter(argv), None
    others: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if name not in CONFIG_DIR:
            others.append(word)
        elif not (found := value if equals else next(words, "")):
            raise ConfigError(f"{word}: expected a directory of configuration files")
    return found, others


def of_list(argv: Sequence[str], defaults: Mapping[str, str], hint: str = "") -> dict[str, str]:
    """Return the options of a command that lists what is below ``root=``; it takes no names.

    Args:
        argv: The arguments after the command.
        defaults: The command's options, with their defaults.
        hint: What to do in place of giving a name.

    Raises:
        ConfigError: If there is a name, or the root that was given is not a directory.
    """
    parsed = parse(argv, defaults, most_names=len(argv))
    if parsed.names:
        raise ConfigError(f"{parsed.names[0]}: expected key=value{nearest(parsed.names[0], defaults)}{hint}")
    root = Path(parsed.options["root"])
    if not is_directory(root) and any(argument.startswith("root=") for argument in argv):
        raise ConfigError(f"root={root}: no such directory")
    return parsed.options


def _with_project(defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults of options with the project's directory for runs."""
    found = project_file.current() if defaults.get("root") == ROOT else None
    return dict(defaults) | ({"root": found.output_root} if found and found.output_root else {})


def is_setting(key: str) -> bool:
    """Return whether a key is one of a run's settings, or lies in one of their sections."""
    first = key.partition(".")[0]
    return first in config.SECTIONS or first in component.SUPPLIED or first in config.knobs() or first == "recipe"


def _home_expanded(key: str, value: str) -> str:
    """Return a path with a leading ``~`` expanded.

    Raises:
        ConfigError: If there is no such home directory: a new directory of that name is never what was meant.
    """
    path = os.path.expanduser(value)  # noqa: PTH111 - pathlib's raises
    if path.startswith("~") and not os.path.lexists(path):
        raise ConfigError(f"{key}={value}: there is no such home directory; for a path of that name give ./{value}")
    return path


def _exists(path: str) -> bool:
    return bool(path) and "\0" not in path and os.path.lexists(path)


def packages(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate ``components=[a,b]`` from the overrides; return its packages and the other overrides.

    Without it, the packages are those of the project, if it is trusted. That a package exists is not checked here.
    """
    lists = [word.partition("=")[2] for word in overrides if word.startswith("components=")]
    if not lists:
        return list(project.packages()), list(overrides)
    value = lists[-1]
    items = read_items(value)
    names = split(value) if items is None else items
    return names if value.strip() else [], [word for word in overrides if not word.startswith("components=")]


def several(names: Sequence[str], root: Path, command: str) -> list[Path]:
    """Find the directories of at least two different runs.

    Raises:
        ConfigError: If there are fewer, or one is named twice.
        CheckpointError: If one does not exist.
    """
    if len(names) < 2:
        raise ConfigError(f"{command} needs at least two runs: trainctl {command} RUN RUN")
    found: dict[str, Path] = {}
    for name in names:
        directory = find(name, root)
        real = os.path.realpath(directory)
        if real in found:
            raise ConfigError(f"{name}: {command} was given this run twice: {directory}")
        found[real] = directory
    return list(found.values())
