"""argv -> verb -> the command's function; prints errors, sets exit codes. Imports no torch."""

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

from trainctl.errors import Advice, ConfigError, TrainctlError, lacks_memory, out_of_memory
from trainctl.machine.signals import ExitImmediately, Terminate
from trainctl.machine.threads import Watch
from trainctl.report import table
from trainctl.settings import spelling

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES, errno.EPERM)
COMPLETIONS = [f"{what}={shell}" for what in ("install", "uninstall", "query") for shell in ("bash", "zsh", "fish")]
# Each is a module in trainctl/command, beside help.
VERBS = (
    "train", "resume", "verify", "reproduce", "evaluate", "predict", "find-lr", "find-batch-size", "profile", "list", "runs",
    "compare",
)  # fmt: skip


def main() -> int:
    """Run the command line of this process and return its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process
    warnings.showwarning = tell
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch reads it once: huge pages, so that few are touched
    try:
        Path.cwd()
    except FileNotFoundError:
        return complain("the current directory has been removed: change to another one", 5)
    try:
        with ExitImmediately(), Watch():  # of what other processes do, while torch is imported
            code = dispatch(sys.argv[1:])
            sys.stdout.flush()
            return code
    except TrainctlError as error:
        return complain(str(error), error.exit_code)
    except Terminate:
        return complain("terminated; what was saved before is intact", 143)
    except KeyboardInterrupt:
        return complain("interrupted; what was saved before is intact", 130)
    except BrokenPipeError:
        table.drain(sys.stdout)  # nobody reads on: nothing more to flush
        return 0
    except (OSError, RuntimeError, ImportError, MemoryError) as error:
        if message := environment(error):
            return complain(message, 7)
        if isinstance(error, OSError) and error.errno in STORAGE:
            return complain(f"cannot write: {error}", 5)
        raise


def complain(message: str, exit_code: int) -> int:
    """Print an error, each of its lines for itself, and return the exit code, though nobody may be there to read."""
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
    """Print a warning: advice of ours as one line like an error, any other as Python does."""
    if issubclass(category, Advice):
        text = f"trainctl: note: {table.printable(str(message))}\n"
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
    try:
        (file or sys.stderr).write(text)
    except OSError:
        table.drain(sys.stderr)


def environment(error: Exception) -> str | None:
    """Say in one line what the machine lacks, if that is what an error means."""
    text = " ".join(str(error).split())
    if lacks_memory(error):
        return out_of_memory(error)
    if "torchvision::nms" in text:
        return (
            "torch and torchvision do not fit together (a +cpu build of one beside a CUDA build of the other):"
            " reinstall both from one source"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"a package is missing: {text}"
    return None


def dispatch(arguments: Sequence[str]) -> int:
    """Find the verb and run it."""
    verb = arguments[0] if arguments and not arguments[0].startswith("-") and "=" not in arguments[0] else None
    if verb is None:
        return train(arguments)
    if verb not in VERBS:
        if set(verb) & set(spelling.PLAIN):
            raise ConfigError(f"{verb}: {spelling.misspelt(verb)}")
        close = get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"{verb}: neither a verb nor key=value; {hint}(verbs: {', '.join(VERBS)})")
    rest = arguments[1:]
    if {"-h", "--help"} & set(rest):
        print((module(verb).__doc__ or "").strip())
        return 0
    if verb == "train":
        return train(rest)
    if verb != "resume":
        warnings.simplefilter("ignore", Advice)  # it is about how to train
    code: int = module(verb).main(rest)
    return code


def module(verb: str) -> ModuleType:
    """Import a verb's module; a dash in the verb is an underscore in the file's name."""
    return importlib.import_module(f"trainctl.command.{verb.replace('-', '_')}")


def train(arguments: Sequence[str]) -> int:
    """Answer Hydra's informational flags, or train."""
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
        gc.disable()  # looking through what is composed takes 10 ms, and the process ends soon
        try:
            return inform(flags, arguments, overrides)
        finally:
            if collects:
                gc.enable()
    from trainctl.command import train as command

    return command.main(overrides, flags.config_dir, multirun=flags.multirun)


def inform(flags: argparse.Namespace, arguments: Sequence[str], overrides: Sequence[str]) -> int:
    """Answer Hydra's informational flags."""
    from trainctl.settings import compose

    if flags.shell_completion and sum(word in COMPLETIONS for word in overrides) != 1:
        raise ConfigError(f"--shell-completion needs one of {', '.join(COMPLETIONS)}")
    if flags.multirun:
        raise ConfigError("-m runs a sweep; it cannot be combined with --help, --cfg, --info or --shell-completion")
    if flags.help:
        from trainctl.command import help as command_help

        print(command_help.text(overrides, flags.config_dir))
        return 0
    if overrides and not flags.shell_completion:
        compose.compose(overrides, flags.config_dir)  # for our own error messages
    return compose.show(["--hydra-help"] if flags.hydra_help else list(arguments), flags.config_dir)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split arguments into Hydra's flags and overrides.

    Raises:
        ConfigError: If a flag is unknown, or one that would execute what it loads.
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
        raise ConfigError(f"{unknown[0]}: no such flag (trainctl --help shows those there are)")
    return flags, rest
