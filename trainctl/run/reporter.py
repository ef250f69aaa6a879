"""What every reporter does, and how several are told at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.run.run import Run

# One evaluation: step, epoch, seconds, lr, samples_per_second, and metrics by `split/name`.
Row = Mapping[str, float]


class Reporter:
    """Is told what happens in a run; must never make the loop wait for long, and never end it. This one does nothing."""

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Begin; ``history`` holds the rows of earlier sessions of a resumed run."""

    def evaluation(self, row: Row) -> None:
        """Take the newest evaluation."""

    def engine(self, text: str) -> None:
        """Take how steps are taken, and if that is not the fastest way, why; told after the first steps."""

    def unsaved(self) -> list[Row]:
        """Make the records so far last; return the evaluations for which that failed."""
        return []

    def forget(self, step: int) -> None:
        """Drop evaluations after a step: the run went back, and comes to them again."""

    def note(self, text: str) -> None:
        """Take a line for the user."""

    def detail(self, text: str) -> None:
        """Take a line for the log, of no use to a user who looks on."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take what is in ``summary.json``."""

    def close(self) -> None:
        """Give the terminal and the files back; called once, after an error too."""


class Together(Reporter):
    """Tells several reporters."""

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Begin."""
        for reporter in self.reporters:
            reporter.start(run, directory, history)

    def evaluation(self, row: Row) -> None:
        """Take the newest evaluation."""
        for reporter in self.reporters:
            reporter.evaluation(row)

    def engine(self, text: str) -> None:
        """Take how steps are taken."""
        for reporter in self.reporters:
            reporter.engine(text)

    def unsaved(self) -> list[Row]:
        """Make the records so far last; return the evaluations for which that failed."""
        return [row for reporter in self.reporters for row in reporter.unsaved()]

    def forget(self, step: int) -> None:
        """Drop evaluations after a step."""
        for reporter in self.reporters:
            reporter.forget(step)

    def note(self, text: str) -> None:
        """Take a line for the user."""
        for reporter in self.reporters:
            reporter.note(text)

    def detail(self, text: str) -> None:
        """Take a line for the log."""
        for reporter in self.reporters:
            reporter.detail(text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take what is in ``summary.json``."""
        for reporter in self.reporters:
            reporter.finish(summary)

    def close(self) -> None:
        """Give everything back, the last first."""
        for reporter in reversed(self.reporters):
            reporter.close()
