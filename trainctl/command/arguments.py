"""Parse the arguments of a command: names of runs and files, options as ``key=value``, overrides. Imports no torch."""

import importlib
import math
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import ConfigError, StorageError, UnavailableError
from trainctl.fileformat.boundary import reason
from trainctl.fileformat.place import is_directory
from trainctl.fileformat.waiting import waiting
from trainctl.machine import environment, launch, threads
from trainctl.report import table
from trainctl.settings import component, config, habits, processes, project, project_file
from trainctl.settings.spelling import nearest
from trainctl.settings.text import read_items, split
from trainctl.store.finding import find
from trainctl.store.runpath import AnyPath
from trainctl.wording import closest

ROOT = "runs"  # the directory for runs, unless the project or the user names another
PATHS = ("root", "output")  # options in which a leading ~ is expanded; the shell does so only at the start of a word
ALLOCATORS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
MOST_DIGITS = 18  # of a whole number
CONFIG_DIR = ("--config-dir", "-cd")
MOST_QUANTILES = 99
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
) -> ParsedArguments:
    """Split a command's arguments into names, options and overrides.

    Args:
        argv: The arguments after the command.
        defaults: The command's options, with their defaults.
        most_names: Maximum number of arguments without ``=``.
        overrides: Whether the command accepts ``key=value`` arguments other than its options.
        standard_input: Whether `-` is the name of standard input.
        composes: Whether the command composes a configuration, and therefore accepts ``--config-dir``.

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
            raise ConfigError(
                f"{argument}: this command takes no flags other than {flags}; write options as key=value{hint}"
            )
        elif not equals or not key.replace(".", "").isidentifier():  # the names of a sweep's trials also contain "="
            parsed.names.append(argument)
        elif key in defaults and not value and not (key == "output" and defaults[key]):  # there, empty means no file
            raise ConfigError(f"{argument}: expected a value; check the variable of the shell that it comes from")
        elif key in defaults:
            parsed.options[key] = _home_expanded(key, value) if key in PATHS else value
        elif overrides and (is_setting(key) or not _is_option(key, defaults)):
            parsed.overrides.append(argument)
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

    Without it, the packages are those of the project, if it is trusted.
    """
    lists = [word.partition("=")[2] for word in overrides if word.startswith("components=")]
    if not lists:
        return list(project.packages()), list(overrides)
    value = lists[-1]
    items = read_items(value)
    names = split(value) if items is None else items
    return [name for name in names if name], [word for word in overrides if not word.startswith("components=")]


def in_processes(checked: config.Config, words: Sequence[str], overrides: Sequence[str]) -> int | None:
    """Run a command in several processes if its settings say so, and return the exit code; None if this process runs it.

    Args:
        checked: The configuration of the run.
        words: The words of the command.
        overrides: Those among them that are settings.

    Raises:
        ConfigError: If this machine cannot carry so many processes, or torchrun or srun has started others.
        UnavailableError: If a process was killed.
    """
    typed = any(word.startswith("processes=") for word in overrides)
    if place := environment.read():
        if typed and checked.processes not in ("auto", place.size):
            raise ConfigError(
                f"processes={checked.processes}, but {place.by} started {place.size}: leave processes out"
            )
        return None
    if note := environment.outside_step():
        table.line(f"trainctl: note: {note}", stream=sys.stderr)
    if checked.processes == 1:
        return None
    granted = min(len(threads.allowed()), threads.quota() or math.inf)
    count, note = processes.wanted(checked, max(1, int(granted + 0.01)), _gpus, typed=typed)
    if note:
        table.line(f"trainctl: note: {note}", stream=sys.stderr)
    if count == 1:
        return None
    if wrong := config.obstacles(checked.tree, count):
        raise ConfigError(*wrong)
    distributed = checked.distributed

    def show(line: str) -> None:
        table.line(f"trainctl: {line}", stream=sys.stderr)

    return launch.run(words, count, restarts=distributed.restarts, timeout=distributed.seconds, note=show)


def require_started_once() -> None:
    """Check that a sweep is not started by torchrun or srun: it starts its own processes.

    Raises:
        ConfigError: If it is.
    """
    if place := environment.read():
        raise ConfigError(
            f"{place.by} has started {place.size} processes, but a sweep starts its own: start it once; for a cluster, use"
            " sweep.slurm or sweep.storage"
        )


def require_one_process(checked: config.Config, command: str) -> config.Config:
    """Return a configuration that a command uses in this process alone.

    Raises:
        ConfigError: If it says that several processes train.
    """
    if checked.processes != 1:
        raise ConfigError(
            f"processes={checked.processes}: {command} uses one process: add processes=1; to compute a batch in as many"
            " parts, set loop.micro_batches"
        )
    return checked


def _gpus() -> int:
    """Return the number of GPUs; imports PyTorch, which takes seconds."""
    import_torch()
    count: int = importlib.import_module("torch").cuda.device_count()
    return count


def in_processes_of(
    directory: AnyPath, own: Sequence[str], overrides: Sequence[str], allowed: Sequence[str], words: Sequence[str]
) -> int | None:
    """Do the same for a command that trains a run that exists, see :func:`in_processes`.

    Args:
        directory: The run's directory.
        own: Packages of the user's components.
        overrides: Changes of its settings.
        allowed: Keys that may change.
        words: The words of the command.

    Raises:
        TrainctlError: If the run's configuration cannot be read, or such a change is not allowed.
    """
    from trainctl.settings import existing  # these know Hydra, which most commands need not
    from trainctl.store import configuration

    typed = any(word.startswith(("processes=", "distributed.")) for word in overrides)
    if not typed and environment.read() is None and configuration.read_tree(directory, own).get("processes", 1) == 1:
        return None
    checked = existing.check(existing.change(configuration.read(directory, own).tree, overrides, allowed))
    if isinstance(checked.processes, int) and (
        wrong := processes.too_few_parts(checked.loop.micro_batches, checked.processes)
    ):
        raise ConfigError(wrong)
    return in_processes(checked, words, overrides)


def import_torch() -> None:
    """Import PyTorch, which takes seconds; called once everything that can be checked without it was checked.

    Raises:
        UnavailableError: If it refuses a variable of the environment. One that configures its allocator is checked before,
            because PyTorch ends the process if it is wrong.
    """
    for name in ALLOCATORS:
        if (value := os.environ.get(name)) and not re.fullmatch(r"\s*[\w]+:.+", value):
            raise UnavailableError(f"{name}={value}: expected option:value, as PyTorch reads it; correct or unset it")
    with waiting("loading PyTorch"):
        try:
            importlib.import_module("torch")
        except ValueError as error:
            variables = ", ".join(sorted(name for name in os.environ if name.startswith(("TORCH", "PYTORCH"))))
            hint = f"; is a variable of the environment wrong? ({variables})" if variables else ""
            raise UnavailableError(f"PyTorch cannot be loaded: {reason(error)[:500]}{hint}") from error


def integer(key: str, text: str, low: int) -> int:
    """Parse an option whose value is a whole number.

    Raises:
        ConfigError: If it is not a whole number, or is below ``low``.
    """
    if not (text.isdecimal() and len(text) <= MOST_DIGITS and int(text) >= low):
        raise ConfigError(f"{key}={text}: expected a whole number in [{low}, inf)")
    return int(text)


def number(key: str, text: str, low: float, high: float) -> float:
    """Parse an option whose value is a finite number in ``(low, high]``.

    Raises:
        ConfigError: If it is not a number, or is outside that range.

    >>> number("seconds", "0.5", 0, 3600)
    0.5
    >>> number("max_lr", "1e400", 0, math.inf)
    Traceback (most recent call last):
    trainctl.errors.ConfigError: max_lr=1e400: expected a number in (0, inf)
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (low < value <= high and math.isfinite(value)):
        end = f"{high:g}]" if math.isfinite(high) else "inf)"
        raise ConfigError(f"{key}={text}: expected a number in ({low:g}, {end}")
    return value


def tolerance(text: str) -> float | None:
    """Parse ``tolerance=``, by how much a metric may become worse; None if it is empty.

    Raises:
        ConfigError: If it is not a number of at least 0.

    >>> tolerance("0.01"), tolerance("")
    (0.01, None)
    """
    if not text:
        return None
    try:
        return float(text) and number("tolerance", text, 0, math.inf)
    except (ConfigError, ValueError):
        raise ConfigError(f"tolerance={text}: expected a number in [0, inf)") from None


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


def choice(key: str, value: str, allowed: Iterable[str]) -> str:
    """Check that the value of an option is one of the allowed values, and return it.

    Raises:
        ConfigError: If it is not one of the allowed values.
    """
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"{key}={value}: no such {key}{nearest(value, allowed)}")
    return value


def new_path(key: str, text: str) -> Path | None:
    """Parse an option that names the output of a command; None if the option is empty.

    Raises:
        StorageError: If the path already exists.
    """
    if not text:
        return None
    try:
        kind = "directory" if stat.S_ISDIR(os.lstat(text).st_mode) else "file"
    except FileNotFoundError:
        return Path(text)
    except OSError as error:
        raise StorageError(f"{key}={text}: cannot be written: {error.strerror}") from error
    raise StorageError(f"{key}={text}: {kind} already exists")


def quantiles(text: str) -> list[float]:
    """Parse ``quantiles=[0.05,0.95]``, with or without brackets; none if it is empty.

    Raises:
        ConfigError: If one is not in [0, 1], or is given twice.

    >>> quantiles("[0.05,0.95]"), quantiles("0.5"), quantiles("")
    ([0.05, 0.95], [0.5], [])
    """
    items = read_items(text)
    words = [word.strip() for word in (split(text) if items is None else items)] if text else []
    found = [0.0 if word in ("0", "0.0") else number("quantiles", word, 0, 1) for word in words]
    if len(set(found)) < len(found) or len(found) > MOST_QUANTILES:
        raise ConfigError(f"quantiles={text}: list each quantile only once, at most {MOST_QUANTILES}")
    return found
