"""Choose the reporters of a training session: the run's files, its loggers, and the terminal."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run.factory import members
from trainctl.run.reporter import MultiReporter, Reporter
from trainctl.run.run import Run

Reporters = Callable[[Run, Path], Reporter]  # (run, its directory) -> the session's reporter


def records(run: Run, directory: Path) -> Reporter:
    """Return the reporter that writes a run's files and calls its loggers; only the first of several processes reports."""
    if not run.world.first:
        return MultiReporter()
    return Files(directory, members(run.config, "logger", directory=directory))


def on_terminal(run: Run, directory: Path) -> Reporter:
    """Return the reporter that keeps a run's records and shows the run: live on a terminal, as plain lines elsewhere."""
    if not run.world.first:
        return MultiReporter()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from trainctl.report.console import Console

        return MultiReporter(records(run, directory), Console())
    return MultiReporter(records(run, directory), Plain(sys.stdout))
