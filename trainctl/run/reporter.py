"""What is told of a run while it trains: the base class of all reporters, and one that passes everything on to several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.run.run import Run

# One evaluation: step, epoch, seconds, lr, samples_per_second, and metrics by `split/name`.
Row = Mapping[str, float]


class Reporter:
    """Base of all reporters: it ignores everything, and each reporter overrides what it needs.

    No method may make the loop wait for long, and none may end it.
    """

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Begin a session.

        Args:
            run: As assembled, or restored.
            directory: The run's.
            history: The evaluations of earlier sessions of a resumed run.
        """

    def evaluation(self, row: Row) -> None:
        """Report the newest evaluation."""

    def engine(self, text: str) -> None:
        """Report how steps are taken, and if that is not the fastest way, why; known after the first steps."""

    def unsaved(self) -> list[Row]:
        """Sync what was recorded to the disk, and return the evaluations for which that failed."""
        return []

    def forget(self, step: int) -> None:
        """Discard the evaluations after a step: the run went back to it, and will reach them again."""

    def note(self, text: str) -> None:
        """Show a line to the user."""

    def detail(self, text: str) -> None:
        """Record a line that is of interest in the log only."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Report the end of the session, with the content of ``summary.json``."""

    def close(self) -> None:
        """Release the terminal and all files; called once, after an error too."""


class MultiReporter(Reporter):
    """Passes everything on to several reporters, in their order; without any, it reports nothing.

    Args:
        reporters: To pass it on to.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Start all of them."""
        for reporter in self.reporters:
            reporter.start(run, directory, history)

    def evaluation(self, row: Row) -> None:
        """Report the newest evaluation to all of them."""
        for reporter in self.reporters:
            reporter.evaluation(row)

    def engine(self, text: str) -> None:
        """Report how steps are taken to all of them."""
        for reporter in self.reporters:
            reporter.engine(text)

    def unsaved(self) -> list[Row]:
        """Return the evaluations that any of them could not record."""
        return [row for reporter in self.reporters for row in reporter.unsaved()]

    def forget(self, step: int) -> None:
        """Discard the evaluations after a step in all of them."""
        for reporter in self.reporters:
            reporter.forget(step)

    def note(self, text: str) -> None:
        """Show a line to the user in all of them."""
        for reporter in self.reporters:
            reporter.note(text)

    def detail(self, text: str) -> None:
        """Record a line in all of them."""
        for reporter in self.reporters:
            reporter.detail(text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Report the end of the session to all of them."""
        for reporter in self.reporters:
            reporter.finish(summary)

    def close(self) -> None:
        """Close all of them, the last one first."""
        for reporter in reversed(self.reporters):
            reporter.close()
