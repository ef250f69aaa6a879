"""Choose the reporters of a training session: the run's files, its loggers, and the terminal."""

import os
import sys
from collections.abc import Callable
from typing import BinaryIO

from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run.factory import members
from trainctl.run.reporter import MultiReporter, Reporter
from trainctl.run.run import Run
from trainctl.store import files, runpath
from trainctl.store.runpath import AnyPath, RunPath

Reporters = Callable[[Run, RunPath], Reporter]  # (run, its directory) -> the session's reporter


def records(run: Run, directory: AnyPath) -> Reporter:
    """Return the reporter that writes a run's files and calls its loggers; only the first of several processes reports."""
    if not run.world.first:
        return MultiReporter()
    held = runpath.hold(directory)

    def new_file(folder: str, name: str) -> BinaryIO:
        files.ensure_directory(held / folder)
        return files.open_new(held / folder / name)

    return Files(held, members(run.config, "logger", directory=held.path, new_file=new_file))


def on_terminal(run: Run, directory: AnyPath) -> Reporter:
    """Return the reporter that keeps a run's records and shows the run: live on a terminal, as plain lines elsewhere."""
    if not run.world.first:
        return MultiReporter()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from trainctl.report.console import Console

        return MultiReporter(records(run, directory), Console())
    return MultiReporter(records(run, directory), Plain(sys.stdout))
