"""Choose the reporters of a training session: the run's files, its loggers, and the terminal."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO

from trainctl.errors import CheckpointError
from trainctl.report import table
from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run.factory import members
from trainctl.run.reporter import MultiReporter, Reporter
from trainctl.run.run import Run
from trainctl.store import directories, files, runfile, runpath
from trainctl.store.runpath import AnyPath, RunPath

LARGEST_LOG = 2**28  # bytes of one file of a logger that are read again

Reporters = Callable[[Run, RunPath], Reporter]  # (run, its directory) -> the session's reporter


def records(run: Run, directory: AnyPath) -> Reporter:
    """Return the reporter that writes a run's files and calls its loggers; only the first of several processes reports."""
    if not run.world.first:
        return MultiReporter()
    held = runpath.hold(directory)

    loggers = members(run.config, "logger", directory=held.path, folder=lambda name: RunFolder(held / name))
    return Files(held, loggers, [str(settings["name"]) for settings in run.config.members("logger")])


class RunFolder:
    """A folder for the files of a logger.

    Args:
        path: Its path below the run's directory.
    """

    def __init__(self, path: RunPath) -> None:
        self.path = path

    def create(self, name: str) -> BinaryIO:
        """Create a file, and the folder if it does not exist."""
        directories.ensure_directory(self.path)
        return files.open_new(self.path / name)

    def names(self) -> list[str]:
        """Return the names in the folder."""
        return runfile.names(self.path)

    def read(self, name: str) -> bytes:
        """Return the content of a file; nothing if it cannot be read, or is too large."""
        with suppress(CheckpointError):
            return runfile.read_bytes(self.path / name, LARGEST_LOG)
        return b""

    def remove(self, name: str) -> None:
        """Remove a file."""
        files.remove(self.path / name)


def on_terminal(run: Run, directory: AnyPath) -> Reporter:
    """Return the reporter that keeps a run's records and shows the run: live on a terminal, as plain lines elsewhere."""
    if not run.world.first:
        return MultiReporter()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from trainctl.report.console import Console

        return MultiReporter(records(run, directory), Console())
    return MultiReporter(records(run, directory), Plain(sys.stdout))


def in_python(reasons: Sequence[str] = ()) -> Reporters:
    """Return the reporters of a run that a Python program trains: a view in a notebook, else as on a terminal.

    Args:
        reasons: Lines to show before the run starts.
    """

    def chosen(run: Run, directory: AnyPath) -> Reporter:
        from trainctl.report import notebook

        if notebook.runs_here() and run.world.first:
            return MultiReporter(records(run, directory), notebook.Notebook(reasons))
        for line in reasons if run.world.first else ():
            table.line(line)
        return on_terminal(run, directory)

    return chosen
