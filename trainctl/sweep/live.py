"""What a user sees of a sweep while it runs: a live view on a terminal, one line per event elsewhere. Imports no torch.

The pool owns the trials and calls, from any one thread:

1. ``watcher = watch(stream, home, monitor, trials, maximize=...)``; the list is kept, so that trials may be appended to it.
2. ``watcher.started(trial, step)``, ``watcher.rung(trial, epochs)``, ``watcher.ended(trial)`` as soon as it happened, after the
   trial's own fields were changed. ``ended`` is for every status with which a trial leaves its worker.
3. ``watcher.running(progress)`` with a :class:`Progress` for each trial that runs, whenever there are newer numbers.
4. ``watcher.note(text)`` for anything else, and ``watcher.close()`` once at the end; a second call does nothing.

No call raises: a terminal that disappears does not end a sweep.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.text import Text

from trainctl.report import phrases, table
from trainctl.report.styles import BAD
from trainctl.report.terminal import HARMLESS, HERTZ, QuietLive
from trainctl.sweep.results import path_of, short_reason
from trainctl.sweep.trial import Trial
from trainctl.sweep.view import Limits, View
from trainctl.wording import amount

ENDINGS = {"finished": "finished", "stopped": "stopped", "paused": "paused", "pruned": "pruned", "failed": "FAILED"}


@dataclass(frozen=True)
class Progress:
    """What is known of a running trial.

    Args:
        trial: The trial.
        epoch: The epochs that it has trained so far.
        total: The epochs of its full schedule; None if a clock decides.
        until: The epochs at which it will pause at a rung; None if it is to be trained in full.
        rows: Its evaluations so far, in order: ``epoch`` and metrics by name, as in `metrics.jsonl`.
        began: When it was begun or continued on its worker, by :func:`time.monotonic` [s].
        began_at: The epochs that it had then.
    """

    trial: Trial
    epoch: float = 0.0
    total: float | None = None
    until: float | None = None
    rows: Sequence[dict[str, Any]] = field(default_factory=tuple)
    began: float = field(default_factory=time.monotonic)
    began_at: float = 0.0

    @property
    def fraction(self) -> float | None:
        """Return how much of the way to its next end it has come, in [0, 1]; None if that is unknown."""
        end = self.total if self.until is None else self.until
        return min(1.0, self.epoch / end) if end else None

    def remaining(self, now: float) -> float | None:
        """Return the time to its next end [s], at the speed since it was begun; None if that is unknown."""
        end = self.total if self.until is None else self.until
        done, elapsed = self.epoch - self.began_at, now - self.began
        if end is None or done <= 0 or elapsed <= 0:
            return None
        return max(0.0, end - self.epoch) * elapsed / done


class Watcher:
    """Base of what shows a sweep; it shows nothing."""

    def started(self, trial: Trial, step: int = 0) -> None:
        """Report that a trial was begun, or continued from a checkpoint of that step."""

    def rung(self, trial: Trial, epochs: int) -> None:
        """Report that a trial has reached a rung."""

    def ended(self, trial: Trial) -> None:
        """Report that a trial has left its worker, with which status and value, or why it failed."""

    def running(self, progress: Sequence[Progress]) -> None:
        """Take the newest numbers of all trials that run."""

    def note(self, text: str) -> None:
        """Show a line to the user."""

    def close(self) -> None:
        """Release the terminal."""


def watch(
    stream: TextIO,
    home: Path,
    monitor: str,
    trials: Sequence[Trial],
    *,
    maximize: bool,
    live: bool = True,
    limits: Limits | None = None,
) -> Watcher:
    """Return what shows a sweep on a stream.

    Args:
        stream: Usually standard output.
        home: The directory of the sweep.
        monitor: The metric that trials are ranked by.
        trials: All trials; the list may grow.
        maximize: Whether larger values of the metric are better.
        live: Whether a terminal shows a live view; otherwise lines.
        limits: What ends the sweep, for the time left.
    """
    if live and stream.isatty():
        return Live(table.console(stream), home, monitor, trials, limits, maximize=maximize)
    return Lines(stream, monitor, trials, limits)


class Lines(Watcher):
    """Writes one line for each event; if the stream is closed or broken, the sweep continues without them."""

    def __init__(self, stream: TextIO, monitor: str, trials: Sequence[Trial], limits: Limits | None = None) -> None:
        self.stream: TextIO | None = stream
        self.monitor, self.trials, self.limits = monitor, trials, limits or Limits()
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.done = 0

    def started(self, trial: Trial, step: int = 0) -> None:
        """Write that a trial was begun or continued; if its process was killed, only its checkpoint says from where."""
        again = f", continued at epoch {phrases.epochs(trial.epoch)}" if trial.step else ""
        self.note(f"start     {name(trial)}{again or (f', continued at step {step:,}' if step else '')}")

    def rung(self, trial: Trial, epochs: int) -> None:
        """Write the value with which a trial has reached a rung."""
        self.note(f"rung      {name(trial)}: epoch {epochs}, {self.monitor} {phrases.number(trial.rungs.get(epochs))}")

    def ended(self, trial: Trial) -> None:
        """Write how a trial ended, and how many are left."""
        self.note(ending(trial, self.monitor) + f"  [{left(self.trials, self.limits.trials or 0)}]")

    def note(self, text: str) -> None:
        """Write a line."""
        if self.stream is not None:
            self.stream = table.write_line(self.stream, text, self.encoding)

    def close(self) -> None:
        """Stop writing; the stream itself stays open."""
        self.stream = None


class Live(Watcher):
    """Shows a sweep on a terminal, redrawn 8 times a second.

    Args:
        console: rich's console to draw on.
        home: The directory of the sweep.
        monitor: The metric that trials are ranked by.
        trials: All trials; the list may grow.
        limits: What ends the sweep.
        maximize: Whether larger values of the metric are better.
    """

    def __init__(
        self,
        console: RichConsole,
        home: Path,
        monitor: str,
        trials: Sequence[Trial],
        limits: Limits | None = None,
        *,
        maximize: bool,
    ) -> None:
        self.console, self.monitor = console, monitor
        self.view = View(home, monitor, trials, console.encoding, limits=limits, maximize=maximize)
        self.live: QuietLive | None = None
        with suppress(*HARMLESS):
            self.live = QuietLive(self.view, console=console, refresh_per_second=HERTZ, vertical_overflow="crop")
            self.live.start(refresh=True)

    def ended(self, trial: Trial) -> None:
        """Print a failure above the view, where it stays; other endings are part of the view."""
        if trial.status == "failed":
            self.note(ending(trial, self.monitor), style=BAD)

    def running(self, progress: Sequence[Progress]) -> None:
        """Show the newest numbers in the next frame."""
        self.view.running = tuple(progress)

    def note(self, text: str, style: str = "") -> None:
        """Print a line above the view."""
        with suppress(*HARMLESS):
            shown = table.printable(text, self.console.encoding)
            self.console.print(Text(shown, style=style), soft_wrap=True)

    def close(self) -> None:
        """Stop the view in its last state and show the cursor again; a second call does nothing."""
        live, self.live = self.live, None
        self.view.running = ()
        if live is not None:
            with suppress(*HARMLESS):
                live.stop()


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
        log = f" (log: {path_of(trial, trial.log)})" if trial.log else ""
        return f"{label}  {name(trial)}: {short_reason(trial)}{log}"
    at = f" at epoch {phrases.epochs(trial.epoch)}" if trial.status in ("paused", "pruned") else ""
    reason = f"; {trial.reason}" if trial.reason and trial.status in ("paused", "pruned") else ""
    value = f"{monitor} {phrases.number(trial.value)}"
    return f"{label}  {name(trial)}: {value}{at}, {phrases.duration(trial.seconds)}{reason}"


def left(trials: Sequence[Trial], planned: int = 0) -> str:
    """Return how many trials have ended for good, of those that there are or will be, and how many of them failed."""
    done = sum(trial.status in ("finished", "stopped", "pruned", "failed") for trial in trials)
    failed = sum(trial.status == "failed" for trial in trials)
    return f"{done:,} of {amount(max(len(trials), planned), 'trial')}" + (f", {failed:,} failed" if failed else "")
