"""The base class of all reporters, which receive the events of a training run, and a reporter that forwards them to several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.run.run import Run

# One evaluation: step, epoch, seconds, lr, samples_per_second, and metrics by `split/name`.
Row = Mapping[str, float]


class Reporter:
    """Base of all reporters: it ignores all events, and each reporter overrides the methods that it needs.

    No method may delay the training loop for long, or raise an error that ends it.
    """

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Start reporting a session.

        Args:
            run: The run, newly assembled or restored.
            directory: The run's directory.
            history: The evaluations of earlier sessions of a resumed run.
        """

    def evaluation(self, row: Row) -> None:
        """Report the newest evaluation."""

    def heartbeat(self, row: Row) -> None:
        """Report how far training is between two evaluations, about once a second; the row has no validation metrics."""

    def engine(self, text: str) -> None:
        """Report how steps are computed, and why not in the fastest way if so; called after the first steps."""

    def unsaved(self) -> list[Row]:
        """Sync the records to disk, and return the evaluations for which that failed."""
        return []

    def forget(self, step: int) -> None:
        """Discard the evaluations after a step: the run went back to that step, and will repeat them."""

    def note(self, text: str) -> None:
        """Show a line to the user."""

    def detail(self, text: str) -> None:
        """Record a line that only the log shows."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Report the end of the session; ``summary`` is the content of ``summary.json``."""

    def close(self) -> None:
        """Release the terminal and all files; called once, also after an error."""


class MultiReporter(Reporter):
    """Forwards all events to several reporters, in their order; without reporters it does nothing.

    Args:
        reporters: The reporters to forward to.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Start all reporters."""
        for reporter in self.reporters:
            reporter.start(run, directory, history)

    def evaluation(self, row: Row) -> None:
        """Report the newest evaluation to all reporters."""
        for reporter in self.reporters:
            reporter.evaluation(row)

    def heartbeat(self, row: Row) -> None:
        """Report how far training is to all reporters."""
        for reporter in self.reporters:
            reporter.heartbeat(row)

    def engine(self, text: str) -> None:
        """Report how steps are computed to all reporters."""
        for reporter in self.reporters:
            reporter.engine(text)

    def unsaved(self) -> list[Row]:
        """Return the evaluations that a reporter could not sync."""
        return [row for reporter in self.reporters for row in reporter.unsaved()]

    def forget(self, step: int) -> None:
        """Discard the evaluations after a step in all reporters."""
        for reporter in self.reporters:
            reporter.forget(step)

    def note(self, text: str) -> None:
        """Show a line to the user in all reporters."""
        for reporter in self.reporters:
            reporter.note(text)

    def detail(self, text: str) -> None:
        """Record a line in all reporters."""
        for reporter in self.reporters:
            reporter.detail(text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Report the end of the session to all reporters."""
        for reporter in self.reporters:
            reporter.finish(summary)

    def close(self) -> None:
        """Close all reporters, the last one first."""
        for reporter in reversed(self.reporters):
            reporter.close()
