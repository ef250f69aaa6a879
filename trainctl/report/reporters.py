"""What a session of training reports to: the run's own files, and the terminal. The only place that chooses reporters."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run.factory import members
from trainctl.run.reporter import MultiReporter, Reporter
from trainctl.run.run import Run

Reporters = Callable[[Run, Path], Reporter]  # (run, its directory) -> what its session reports to


def records(run: Run, directory: Path) -> Reporter:
    """Return what keeps a run's records: its files, and its loggers; of several processes, only the first keeps them."""
    if not run.world.first:
        return MultiReporter()
    return Files(directory, members(run.config, "logger", directory=directory))


def on_terminal(run: Run, directory: Path) -> Reporter:
    """Return what keeps a run's records and shows it: a live view on a terminal, plain lines anywhere else."""
    if not run.world.first:
        return MultiReporter()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from trainctl.report.console import Console

        return MultiReporter(records(run, directory), Console())
    return MultiReporter(records(run, directory), Plain(sys.stdout))
