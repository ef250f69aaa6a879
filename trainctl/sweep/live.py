"""What a user sees of a sweep while it runs: a live view on a terminal, one line per event elsewhere. Imports no torch.

The pool calls, from one thread, the methods of :class:`Watcher`: its protocol ``Display``. ``started`` and ``ended`` come
after the trial's own fields were changed. No method raises: a terminal that disappears does not end a sweep.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console as RichConsole
from rich.text import Text

from trainctl.report import phrases, table
from trainctl.report.terminal import HARMLESS, HERTZ, QuietLive
from trainctl.store import rundir
from trainctl.sweep.results import amount, short_reason
from trainctl.sweep.trial import Trial
from trainctl.sweep.view import Progress, View

if TYPE_CHECKING:
    from trainctl.sweep.study import Study

ENDINGS = {"finished": "finished", "stopped": "stopped", "paused": "paused", "pruned": "pruned", "failed": "FAILED"}


class Watcher:
    """Base of what shows a sweep; it shows nothing."""

    def started(self, trial: Trial, *, continues: bool) -> None:
        """Show that a trial begins or continues."""

    def progress(self, trial: Trial, step: int, total: int) -> None:
        """Show how far a trial is: its optimizer steps, and those of its full schedule; 0 if a clock decides."""

    def evaluated(self, trial: Trial, row: Mapping[str, float]) -> None:
        """Show an evaluation: ``epoch`` and metrics by name, as in `metrics.jsonl`."""

    def ended(self, trial: Trial) -> None:
        """Show how a trial has left its worker: with which status and value, or why it failed."""

    def note(self, text: str) -> None:
        """Show a line."""

    def refresh(self, trials: Sequence[Trial], seconds_left: float | None) -> None:
        """Show the whole sweep, and the time that ``sweep.max_time`` leaves [s]; None without one."""

    def close(self) -> None:
        """Release the terminal; a second call does nothing."""


def display(study: "Study") -> Watcher:
    """Return what shows a sweep on standard output."""
    return watch(sys.stdout, study.home, study.base.monitor, list(study.ledger.trials.values()))


def watch(stream: TextIO, home: Path, monitor: str, trials: Sequence[Trial]) -> Watcher:
    """Return what shows a sweep on a stream: a live view on a terminal, lines anywhere else.

    Args:
        stream: Usually standard output.
        home: The directory of the sweep.
        monitor: The metric that trials are ranked by.
        trials: All trials so far.
    """
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Live(RichConsole(file=stream), home, monitor, trials)
    return Lines(stream, monitor, trials)


class Lines(Watcher):
    """Writes one line for each event; if the stream is closed or broken, the sweep continues without them."""

    def __init__(self, stream: TextIO, monitor: str, trials: Sequence[Trial]) -> None:
        self.stream: TextIO | None = stream
        self.monitor, self.trials = monitor, trials
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.here: dict[Path, tuple[Trial, set[int]]] = {}  # the rungs that are already written

    def started(self, trial: Trial, *, continues: bool) -> None:
        """Write that a trial begins or continues."""
        self.here[trial.directory] = (trial, set(trial.rungs))
        again = f", continued at epoch {phrases.epochs(trial.epoch)}" if continues else ""
        self.note(f"start     {name(trial)}{again}")

    def ended(self, trial: Trial) -> None:
        """Write how a trial ended, and how many are left."""
        self._rungs()
        self.here.pop(trial.directory, None)
        self.note(ending(trial, self.monitor) + f"  [{over(self.trials)}]")

    def refresh(self, trials: Sequence[Trial], seconds_left: float | None) -> None:
        """Write which rungs were reached since the last call."""
        self.trials = trials
        self._rungs()

    def _rungs(self) -> None:
        for trial, written in self.here.values():
            for epochs in sorted(set(trial.rungs) - written):
                written.add(epochs)
                value = phrases.number(trial.rungs[epochs])
                self.note(f"rung      {name(trial)}: epoch {epochs}, {self.monitor} {value}")

    def note(self, text: str) -> None:
        """Write a line."""
        if self.stream is None:
            return
        try:
            self.stream.write(table.printable(text, self.encoding, keep_lines=True) + "\n")
            self.stream.flush()
        except BrokenPipeError:
            table.drain(self.stream)
            self.stream = None
        except (OSError, ValueError):  # ValueError: the file is closed
            self.stream = None

    def close(self) -> None:
        """Stop writing; the stream itself stays open."""
        self.stream = None


class Live(Watcher):
    """Shows a sweep on a terminal, redrawn 8 times a second.

    Args:
        console: rich's console to draw on.
        home: The directory of the sweep.
        monitor: The metric that trials are ranked by.
        trials: All trials so far.
    """

    def __init__(self, console: RichConsole, home: Path, monitor: str, trials: Sequence[Trial]) -> None:
        self.console, self.monitor = console, monitor
        self.view = View(home, monitor, trials, console.encoding)
        self.here: dict[Path, Progress] = {}
        self.live: QuietLive | None = None
        with suppress(*HARMLESS):
            self.live = QuietLive(self.view, console=console, refresh_per_second=HERTZ, vertical_overflow="crop")
            self.live.start(refresh=True)

    def started(self, trial: Trial, *, continues: bool) -> None:
        """Add a trial to those that run; of one that continues, the evaluations so far are read."""
        rows: list[Mapping[str, float]] = []
        with suppress(*HARMLESS):
            rows += rundir.read_metrics(trial.directory) if continues else []
        self.here[trial.directory] = Progress(trial, trial.step, rows=rows, began_at=trial.step)
        self._show()

    def progress(self, trial: Trial, step: int, total: int) -> None:
        """Show how far a trial is in the next frame."""
        if (known := self.here.get(trial.directory)) is not None:
            known.step, known.total = max(step, known.step), total

    def evaluated(self, trial: Trial, row: Mapping[str, float]) -> None:
        """Show an evaluation in the next frame."""
        if (known := self.here.get(trial.directory)) is not None:
            known.rows.append(row)

    def ended(self, trial: Trial) -> None:
        """Print a failure above the view, where it stays; other endings are part of the view."""
        self.here.pop(trial.directory, None)
        self._show()
        if trial.status == "failed":
            self.note(ending(trial, self.monitor), style="red")

    def refresh(self, trials: Sequence[Trial], seconds_left: float | None) -> None:
        """Show all trials in the next frame."""
        self.view.trials, self.view.limit = trials, seconds_left

    def note(self, text: str, style: str = "") -> None:
        """Print a line above the view."""
        with suppress(*HARMLESS):
            shown = table.printable(text, self.console.encoding, keep_lines=True)
            self.console.print(Text(shown, style=style), soft_wrap=True)

    def close(self) -> None:
        """Stop the view in its last state and show the cursor again; a second call does nothing."""
        live, self.live = self.live, None
        self.here.clear()
        self._show()
        if live is not None:
            with suppress(*HARMLESS):
                live.stop()

    def _show(self) -> None:
        self.view.running = tuple(self.here.values())


def name(trial: Trial) -> str:
    """Return the words that tell a trial from others.

    >>> name(Trial(3, ("optimizer.lr=0.1",), ("seed=2",), Path("runs/sweep/3")))
    'point 3: optimizer.lr=0.1 seed=2'
    """
    words = " ".join((*trial.words, *trial.replicate))
    return f"point {trial.point}" + (f": {words}" if words else "")


def ending(trial: Trial, monitor: str) -> str:
    """Return one line that says how a trial ended: its value and time, or the reason of its failure and its log."""
    label = f"{ENDINGS.get(trial.status, trial.status):<8}"
    if trial.status == "failed":
        log = f" (log: {phrases.pasteable(trial.log)})" if trial.log else ""
        return f"{label}  {name(trial)}: {short_reason(trial)}{log}"
    at = f" at epoch {phrases.epochs(trial.epoch)}" if trial.status in ("paused", "pruned") else ""
    reason = f"; {trial.reason}" if trial.reason and trial.status in ("paused", "pruned") else ""
    value = f"{monitor} {phrases.number(trial.value)}"
    return f"{label}  {name(trial)}: {value}{at}, {phrases.duration(trial.seconds)}{reason}"


def over(trials: Sequence[Trial]) -> str:
    """Return how many trials have ended for good, and how many of them failed."""
    done = sum(trial.status in ("finished", "stopped", "pruned", "failed") for trial in trials)
    failed = sum(trial.status == "failed" for trial in trials)
    return f"{done:,} of {amount(len(trials), 'trial')}" + (f", {failed:,} failed" if failed else "")
