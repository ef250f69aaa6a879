"""Run the command that the arguments name, print errors and set exit codes. Imports no torch."""

import argparse
import errno
import importlib
import os
import platform
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from trainctl.command import help as command_help
from trainctl.command.flags import following, parse, with_command_first, with_file_expanded
from trainctl.command.help import COMMANDS
from trainctl.errors import (
    Advice,
    ConfigError,
    Interrupted,
    ProcessError,
    StorageError,
    Terminated,
    TrainctlError,
    UnavailableError,
    exit_called,
    lacks_memory,
    out_of_memory,
)
from trainctl.fileformat import waiting
from trainctl.machine import launch, memory, step_mark
from trainctl.machine.environment import Place
from trainctl.machine.environment import read as read_place
from trainctl.machine.signals import ExitImmediately, Terminate, left_for
from trainctl.machine.threads import Watch
from trainctl.report import pipes, streams, table, waits
from trainctl.settings import habits, spelling
from trainctl.wording import did_you_mean, redacted, shortened

STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES, errno.EPERM)
# Commands that several processes run together.
TRAINING = ("train", "resume", "finetune", "distill", "verify", "reproduce")
ADVISED = ("resume", "finetune", "distill", "prune")  # in addition to training itself
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP)  # errors of a path on the command line


def main() -> int:
    """Run the command line of this process and return its exit code.

    Of several processes that train together, only the first one reads the command line; the others do what it tells them.
    """
    streams.prepare()
    try:
        place = read_place()
    except ConfigError:  # a command that trains raises it again; the others do not care
        place = None
    if place is None:
        return alone()
    for name, value in launch.QUIET.items():
        os.environ.setdefault(name, value)
    if place.rank:
        return follow(place)
    if place.by == "srun" and _command() in TRAINING:
        step_mark.hold()
    code = 1
    try:
        code = alone()
    finally:
        step_mark.end(code, everybody_knows=farewell(place, code))
    return code


def follow(place: Place) -> int:
    """Take part in what the first process trains; a command that trains nothing is the first process's alone."""
    if place.by != "trainctl" and _command() not in TRAINING:
        return 0
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        with ExitImmediately():
            from trainctl.command import launching

            launching.import_torch()
            from trainctl.train import following

            return following.follow(place)
    except TrainctlError as error:
        return complain(f"process {place.rank} on {platform.node()}: {error}", error.exit_code)
    except (Exception, KeyboardInterrupt):  # while PyTorch is imported; the first process prints that it ends
        if (kind := left_for()) is None:
            raise
        return Terminated.exit_code if kind is Terminate else Interrupted.exit_code


def _command() -> str:
    return next((word for word in sys.argv[1:] if word in COMMANDS), "train")


def farewell(place: Place, code: int) -> bool:
    """Let the other processes end, with the exit code of the first one; return whether all of them know it."""
    from trainctl.machine import world

    link = world.current().link
    if link is None and place.by != "trainctl" and _command() in TRAINING:  # the launcher ends them itself
        from trainctl.machine.rendezvous import join

        try:
            link = join(place)
        except TrainctlError:
            return False
    if link is not None and link.presence:
        for rank in link.presence.ended():  # they cannot answer, so nobody waits for them
            link.publish(f"left/{rank}", True)
    return link is not None and link.farewell(code)


def alone() -> int:
    """Run the command line in this process, print errors, and return the exit code."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read once by PyTorch: huge pages cause fewer page faults
    try:
        Path.cwd()
    except OSError:
        return complain("the current directory has been removed: change to another one", StorageError.exit_code)
    try:
        waiting.install(waits.for_this_process())
        with ExitImmediately(), Watch():  # watch the load of other processes while torch is imported
            code = dispatch(sys.argv[1:])
            sys.stdout.flush()
            return code
    except TrainctlError as error:
        return failed(error)
    except KeyboardInterrupt as error:
        return stopped(type(error))
    except SystemExit as error:
        return complain(exit_called(error), ConfigError.exit_code)
    except BrokenPipeError:
        if not (pipes.abandoned(sys.stdout) or pipes.abandoned(sys.stderr)):
            raise  # of a connection that a component has opened
        pipes.drain(sys.stdout)  # the reader has closed the pipe: discard the rest of the output
        return 0
    except Exception as error:
        if kind := left_for():
            return stopped(kind)
        usual = isinstance(error, (OSError, RuntimeError, ImportError, MemoryError))
        if not usual or (answered := answer(error)) is None:
            raise
        return answered


def failed(error: TrainctlError) -> int:
    """Print an error, and return the exit code."""
    if isinstance(error, ProcessError) and launch.launched() and not error.known:
        launch.tell({"gone": str(error)})  # the launcher knows what became of the other process
        return launch.GONE
    if not isinstance(error, Interrupted | Terminated) and (kind := left_for()):
        return stopped(kind)  # a library has turned the signal into an error
    return complain(str(error), error.exit_code)


def stopped(kind: type[KeyboardInterrupt]) -> int:
    """Print that a signal has ended the command, and return the exit code; a launcher prints it, or why it sent the signal."""
    word, code = ("terminated", Terminated.exit_code) if kind is Terminate else ("interrupted", Interrupted.exit_code)
    message = f"{word}; everything saved so far is intact"
    if launch.launched():
        launch.tell({"stopped": message, "code": code})
        return launch.GONE
    return complain(message, code)


def answer(error: Exception) -> int | None:
    """Print an error that the machine or a path caused, and return the exit code; None if the error is another one."""
    if message := environment(error):
        return complain(message, UnavailableError.exit_code)
    if isinstance(error, OSError) and error.errno in STORAGE:
        denied = error.errno in (errno.EACCES, errno.EPERM)  # for reading, too
        pipes.discard_unwritten(sys.stdout)
        return complain(f"cannot {'read or write' if denied else 'write'}: {error}", StorageError.exit_code)
    if isinstance(error, OSError) and error.errno in NO_PATH:
        return complain(f"{error.filename}: {error.strerror}", ConfigError.exit_code)
    return None


def complain(message: str, exit_code: int) -> int:
    """Print each line of an error, ignoring a closed stderr, and return the exit code."""
    try:
        for line in message.split("\n"):
            table.line(f"trainctl: {shortened(redacted(line))}", stream=sys.stderr)
    except OSError:
        pipes.drain(sys.stderr)
    return exit_code


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
    """Find the command and run it.

    Raises:
        ConfigError: If there is no such command, or an argument is empty.
    """
    if "" in arguments:  # an empty name would be the newest run, or the current directory
        place = list(arguments).index("") + 1
        raise ConfigError(f"argument {place} is empty; check the shell variable that it comes from")
    arguments = with_file_expanded(with_command_first(arguments))
    first = arguments[0] if arguments else "-"
    command = first if not first.startswith(("-", "~")) and "=" not in first else None
    if command is None:
        return train(arguments)
    if command == "help":
        return help_of(arguments[1:])
    if command not in COMMANDS:
        if set(command) & set(spelling.PLAIN):
            raise ConfigError(f"{command}: {spelling.misspelt(command)}")
        misspelt = command.replace("_", "-") in COMMANDS
        if not misspelt and (habit := habits.of_bare(command, following(arguments, 0))):
            raise ConfigError(f"{command}: unknown command{habit}")
        expected = f"unknown command (expected a command or key=value){did_you_mean(command, COMMANDS)}"
        raise ConfigError(f"{command}: {expected} (commands: {', '.join(COMMANDS)})")
    rest = arguments[1:]
    if {"-h", "--help"} & set(rest):
        table.lines(command_help.shown(command))
        return 0
    if command == "train":
        return train(rest)
    if command not in ADVISED:
        warnings.simplefilter("ignore", Advice)  # advice is about training only
    code: int = module(command).main(rest)
    return code


def help_of(words: Sequence[str]) -> int:
    """Print the help of a command, `trainctl help resume`, or of trainctl."""
    if not words:
        return train(["--help"])
    if len(words) > 1 or words[0] not in COMMANDS:
        raise ConfigError(f"help {' '.join(words)}: no such command{spelling.nearest(words[0], COMMANDS)}")
    table.lines(command_help.shown(words[0]))
    return 0


def module(command: str) -> ModuleType:
    """Import the module of a command; a dash in the command is an underscore in the file's name."""
    return importlib.import_module(f"trainctl.command.{command.replace('-', '_')}")


def train(arguments: Sequence[str]) -> int:
    """Handle informational flags, or train."""
    flags, overrides = parse(arguments)
    if flags.version:
        from importlib.metadata import PackageNotFoundError, version

        try:
            table.line(f"trainctl {version('trainctl')}")
        except PackageNotFoundError:
            table.line("trainctl (a checkout, not installed)")
        return 0
    if flags.help or flags.hydra_help or flags.cfg or flags.info or flags.shell_completion:
        with memory.without_collections():  # one takes 10 ms after a composition, and the process ends soon
            return inform(flags, arguments, overrides)
    from trainctl.command import train as command

    return command.main(overrides, flags.config_dir, multirun=flags.multirun)


def inform(flags: argparse.Namespace, arguments: Sequence[str], overrides: Sequence[str]) -> int:
    """Print the output of --help or of one of Hydra's informational flags."""
    if flags.multirun:
        raise ConfigError("-m runs a sweep; it cannot be combined with --help, --cfg, --info or --shell-completion")
    if flags.shell_completion:
        from trainctl.command import completion

        table.lines(completion.answer(overrides, COMMANDS).rstrip("\n"))
        return 0
    if flags.help:
        table.lines(command_help.text(overrides, flags.config_dir))
        return 0
    from trainctl.settings import hydra_flags, project

    words: list[str] = list(arguments)
    _, layers = project.composed(overrides, flags.config_dir)  # to print error messages of ours instead of Hydra's
    if layers.words or flags.config_dir is not None:
        words = [word for word in words if word not in overrides]
        words += hydra_flags.for_hydra(layers.words, flags.config_dir)
    text, code = hydra_flags.answer(["--hydra-help"] if flags.hydra_help else words, flags.config_dir)
    table.lines(text.rstrip("\n"))
    return code
