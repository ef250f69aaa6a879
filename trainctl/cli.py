"""Run the command that the arguments name, print errors and set exit codes. Imports no torch."""

import argparse
import errno
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TextIO

from trainctl.command.help import COMMANDS
from trainctl.errors import Advice, ConfigError, TrainctlError, lacks_memory, out_of_memory
from trainctl.machine.signals import ExitImmediately, Terminate
from trainctl.machine.threads import Watch
from trainctl.report import table
from trainctl.settings import spelling

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES, errno.EPERM)
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP)  # errors of a path on the command line
COMPLETIONS = [f"{what}={shell}" for what in ("install", "uninstall", "query") for shell in ("bash", "zsh", "fish")]


def main() -> int:
    """Run the command line of this process and return its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process
    warnings.showwarning = tell
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read once by PyTorch: huge pages cause fewer page faults
    try:
        Path.cwd()
    except FileNotFoundError:
        return complain("the current directory has been removed: change to another one", 5)
    try:
        with ExitImmediately(), Watch():  # watch the load of other processes while torch is imported
            code = dispatch(sys.argv[1:])
            sys.stdout.flush()
            return code
    except TrainctlError as error:
        return complain(str(error), error.exit_code)
    except Terminate:
        return complain("terminated; everything saved so far is intact", 143)
    except KeyboardInterrupt:
        return complain("interrupted; everything saved so far is intact", 130)
    except BrokenPipeError:
        table.drain(sys.stdout)  # the reader has closed the pipe: discard the rest of the output
        return 0
    except (OSError, RuntimeError, ImportError, MemoryError) as error:
        if message := environment(error):
            return complain(message, 7)
        if isinstance(error, OSError) and error.errno in STORAGE:
            return complain(f"cannot write: {error}", 5)
        if isinstance(error, OSError) and error.errno in NO_PATH:
            return complain(f"{error.filename}: {error.strerror}", 2)
        raise


def complain(message: str, exit_code: int) -> int:
    """Print each line of an error, ignoring a closed stderr, and return the exit code."""
    try:
        for line in message.split("\n"):
            table.line(f"trainctl: {line}", stream=sys.stderr)
    except OSError:
        table.drain(sys.stderr)
    return exit_code


def tell(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning: our own advice as one line, like an error; any other warning as Python does."""
    if issubclass(category, Advice):
        text = f"trainctl: note: {table.printable(str(message))}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    try:
        (file or sys.stderr).write(text)
    except OSError:
        table.drain(sys.stderr)


def environment(error: Exception) -> str | None:
    """Return a one-line message if the cause of an error is the environment: memory, or installed packages."""
    text = " ".join(str(error).split())
    if lacks_memory(error):
        return out_of_memory(error)
    if "torchvision::nms" in text:
        return (
            "torch and torchvision do not match (e.g. a +cpu build of one and a CUDA build of the other):"
            " reinstall both from the same source"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"a package is missing: {text}"
    return None


def dispatch(arguments: Sequence[str]) -> int:
    """Find the command and run it."""
    command = arguments[0] if arguments and not arguments[0].startswith("-") and "=" not in arguments[0] else None
    if command is None:
        return train(arguments)
    if command not in COMMANDS:
        if set(command) & set(spelling.PLAIN):
            raise ConfigError(f"{command}: {spelling.misspelt(command)}")
        close = get_close_matches(command, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        expected = "unknown command (expected a command or key=value)"
        raise ConfigError(f"{command}: {expected}{hint} (commands: {', '.join(COMMANDS)})")
    rest = arguments[1:]
    if {"-h", "--help"} & set(rest):
        print((module(command).__doc__ or "").strip())
        return 0
    if command == "train":
        return train(rest)
    if command != "resume":
        warnings.simplefilter("ignore", Advice)  # advice is about training only
    code: int = module(command).main(rest)
    return code


def module(command: str) -> ModuleType:
    """Import the module of a command; a dash in the command is an underscore in the file's name."""
    return importlib.import_module(f"trainctl.command.{command.replace('-', '_')}")


def train(arguments: Sequence[str]) -> int:
    """Handle informational flags, or train."""
    flags, overrides = parse(arguments)
    if flags.version:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"trainctl {version('trainctl')}")
        except PackageNotFoundError:
            print("trainctl (a checkout, not installed)")
        return 0
    if flags.help or flags.hydra_help or flags.cfg or flags.info or flags.shell_completion:
        collects = gc.isenabled()
        gc.disable()  # a garbage collection takes 10 ms after a composition, and the process ends soon
        try:
            return inform(flags, arguments, overrides)
        finally:
            if collects:
                gc.enable()
    from trainctl.command import train as command

    return command.main(overrides, flags.config_dir, multirun=flags.multirun)


def inform(flags: argparse.Namespace, arguments: Sequence[str], overrides: Sequence[str]) -> int:
    """Print the output of --help or of one of Hydra's informational flags."""
    from trainctl.settings import compose, hydra_flags

    if flags.shell_completion and sum(word in COMPLETIONS for word in overrides) != 1:
        raise ConfigError(f"--shell-completion needs one of {', '.join(COMPLETIONS)}")
    if flags.multirun:
        raise ConfigError("-m runs a sweep; it cannot be combined with --help, --cfg, --info or --shell-completion")
    if flags.help:
        from trainctl.command import help as command_help

        print(command_help.text(overrides, flags.config_dir))
        return 0
    if overrides and not flags.shell_completion:
        compose.compose(overrides, flags.config_dir)  # so that errors have our own messages
    return hydra_flags.answer(["--hydra-help"] if flags.hydra_help else list(arguments), flags.config_dir)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split arguments into Hydra's flags and overrides.

    Raises:
        ConfigError: If a flag is unknown, or would execute code from files.
    """
    parser = argparse.ArgumentParser(prog="trainctl", add_help=False, allow_abbrev=False, exit_on_error=False)
    for names in (
        ("--help", "-h"),
        ("--hydra-help",),
        ("--version",),
        ("--resolve",),
        ("--multirun", "-m"),
        ("--shell-completion", "-sc"),
    ):
        parser.add_argument(*names, action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--info", "-i", const="all", nargs="?")
    try:
        flags, rest = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    if unknown := [word for word in rest if word.startswith("-")]:
        raise ConfigError(f"{unknown[0]}: unknown flag; see trainctl --help")
    return flags, rest
