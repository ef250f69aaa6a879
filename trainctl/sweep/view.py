"""The contents of a sweep's live view: progress, best, running trials, failures. Imports no torch."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderResult
from rich.text import Text

from trainctl.report import phrases
from trainctl.report.layout import width
from trainctl.report.styles import BAD, BEST, LABEL, VALUE
from trainctl.report.table import printable
from trainctl.report.terminal import flow, marks
from trainctl.sweep.results import short_reason
from trainctl.sweep.trial import Trial

if TYPE_CHECKING:
    from trainctl.sweep.live import Progress

ORDER = ("running", "waiting", "paused", "pruned", "finished", "stopped", "failed")
OVER = ("finished", "stopped", "pruned", "failed")
STYLES = {"failed": BAD, "running": BEST}
BAR = 12  # characters of a trial's progress bar
SPARK = 16  # characters of a spark line, at most
MOST_FAILURES = 3


@dataclass(frozen=True)
class Limits:
    """What ends a sweep, apart from the trials that are known now.

    Args:
        seconds: Time after which running trials are paused, from the start of this process [s]; None without.
        trials: The number of trials that there will be; None if only the time limits it.
    """

    seconds: float | None = None
    trials: int | None = 0


class View:
    """What a terminal of any size shows of a sweep.

    Args:
        home: The directory of the sweep.
        monitor: The metric that trials are ranked by.
        trials: All trials; the list may grow.
        encoding: That of the terminal.
        clock: The current time [s].
        limits: What ends the sweep.
        maximize: Whether larger values of the metric are better.
    """

    def __init__(
        self,
        home: Path,
        monitor: str,
        trials: Sequence[Trial],
        encoding: str,
        clock: Callable[[], float] = time.monotonic,
        limits: "Limits | None" = None,
        *,
        maximize: bool,
    ) -> None:
        self.maximize = maximize
        self.home, self.monitor, self.trials, self.clock = home, monitor, trials, clock
        self.encoding, self.marks = encoding, marks(encoding)
        self.running: tuple[Progress, ...] = ()
        self.began, self.limits = clock(), limits or Limits()
        self.over_before = sum(trial.status in OVER for trial in trials)

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        """Draw the view; an error is shown in its place."""
        try:
            lines = self.lines(options.max_width, (options.height or options.size.height) - 1)
        except Exception as error:  # noqa: BLE001 - of any kind: the view must not end a sweep
            lines = [Text(printable(f"no live view: {error!r}", self.encoding))]
        for line in lines:
            if line.cell_len > options.max_width:
                line.truncate(max(0, options.max_width - 1))
                line.append(self.marks.ellipsis)
            yield from line.render(console, end="\n")

    def lines(self, room_across: int, room: int) -> list[Text]:
        """Return the lines of a frame, ``room`` at most: progress first, then best, running trials and failures."""
        now = self.clock()
        counts = Counter[str](trial.status for trial in self.trials)
        head = [Text.assemble(("sweep   ", LABEL), self._text(str(self.home)))]
        progress = [self.bar(room_across, counts), *flow(self.facts(counts, now), room_across)]
        best = self.best()
        failures = self.failures(counts["failed"])
        least = len(progress) + len(best)
        shown_head = head if room >= least + len(head) + 1 else []
        spare = max(0, room - len(shown_head) - least)
        running = self.rows(room_across, now, spare)
        spare -= len(running)
        failures = failures[-spare:] if spare > 0 else []
        gap = [Text()] if spare - len(failures) > bool(running) + bool(failures) else []
        parts = [shown_head, progress + best, running, failures]
        lines: list[Text] = []
        for part in parts:
            lines += (gap if lines and part and part is not parts[1] else []) + part
        return lines[: max(1, room)]

    def bar(self, room: int, counts: Counter[str]) -> Text:
        """Return the progress bar of the sweep: running trials count by how far they are."""
        total = self.total()
        done = sum(counts[status] for status in OVER) + math.fsum(each.fraction or 0.0 for each in self.running)
        share = min(1.0, done / total) if total else 0.0
        percent = f" {int(100 * share):3d} %"
        size = max(0, min(room - len(percent), 100))
        full = int(size * share)
        return Text.assemble((self.marks.full * full, BEST), (self.marks.empty * (size - full), LABEL), percent)

    def facts(self, counts: Counter[str], now: float) -> list[phrases.Line]:
        """Return how many trials have which status, and the time."""
        facts = [(status, f"{counts[status]:,}") for status in ORDER if counts[status]]
        facts.append(("of", f"{self.total():,}"))
        facts.append(("time", phrases.duration(now - self.began)))
        left, until = self.remaining(counts, now), self.until_limit(now)
        if until is not None and (left is None or until < left):
            facts.append(("eta", f"{phrases.duration(until)} (sweep.max_time)"))
        elif left != 0.0:  # all are over
            facts.append(("eta", phrases.duration(left, unknown="?")))
        return facts

    def total(self) -> int:
        """Return how many trials there are or will be."""
        return max(len(self.trials), self.limits.trials or 0)

    def until_limit(self, now: float) -> float | None:
        """Return the time until the sweep's time is used up [s]; None if there is no limit."""
        return None if self.limits.seconds is None else max(0.0, self.began + self.limits.seconds - now)

    def remaining(self, counts: Counter[str], now: float) -> float | None:
        """Return the time left [s], at the speed so far; None if it is not known (yet), or only a clock ends the sweep."""
        if self.limits.trials is None:
            return None
        over = sum(counts[status] for status in OVER)
        partly = math.fsum(each.fraction or 0.0 for each in self.running)
        done, elapsed = over - self.over_before + partly, now - self.began
        todo = self.total() - counts["paused"] - over - partly
        return max(0.0, todo) * elapsed / done if done > 0 and elapsed > 0 else None

    def best(self) -> list[Text]:
        """Return the best trial so far; one that runs counts with the best of its evaluations."""
        sign = -1 if self.maximize else 1
        known = [(trial.value, trial) for trial in self.trials if trial.status != "failed"]
        known += [(row.get(self.monitor), each.trial) for each in self.running for row in each.rows]
        finite = [
            (sign * value, number, trial)
            for number, (value, trial) in enumerate(known)
            if value is not None and math.isfinite(value) and not trial.confirms
        ]
        if not finite:
            return []
        loss, _, best = min(finite)
        value = f"{self.monitor} {phrases.number(sign * loss)}"
        words = self._text(" ".join((*best.words, *best.replicate)))
        return [Text.assemble(("best    ", LABEL), (f"{self.marks.best} {value}", BEST), f"  {words}")]

    def rows(self, room_across: int, now: float, room: int) -> list[Text]:
        """Return a line for each running trial, as many as fit: progress, time left, spark line, metric, words."""
        if room <= 0 or not self.running:
            return []
        chosen = self.running if len(self.running) <= room else self.running[: room - 1]
        cells = [self.row(each, room_across, now) for each in chosen]
        widths = [max(width(row[column]) for row in cells) for column in range(6)] if cells else []
        lines = []
        for row in cells:
            line = Text()
            for column, (cell, wide) in enumerate(zip(row, widths, strict=True)):
                style = (BEST, "", "", VALUE, "", "")[column]
                padding = " " * (wide - width(cell))
                line.append(cell + padding if column in (0, 3, 5) else padding + cell, style)
                line.append("  " if wide and column < len(row) - 1 else "")
            line.rstrip()
            lines.append(line)
        if len(chosen) < len(self.running):
            lines.append(Text(f"{self.marks.ellipsis} and {len(self.running) - len(chosen)} more running", style=LABEL))
        return lines[:room]

    def row(self, progress: "Progress", room_across: int, now: float) -> tuple[str, str, str, str, str, str]:
        """Return the cells of a running trial: bar, epochs, time left, spark line, metric, words."""
        narrow = room_across < 70
        size = BAR // 2 if narrow else BAR
        full = int(size * (progress.fraction or 0.0))
        end = progress.total if progress.until is None else progress.until
        epochs = f"{phrases.epochs(progress.epoch)}/{phrases.epochs(end)}" if end else phrases.epochs(progress.epoch)
        values = [row.get(self.monitor) for row in progress.rows]
        spark = "" if narrow else phrases.sparkline(values, SPARK, self.marks.levels)
        left = "" if narrow else phrases.duration(progress.remaining(now), unknown="?")
        words = self._text(" ".join((*progress.trial.words, *progress.trial.replicate)))
        bar = self.marks.full * full + self.marks.empty * (size - full)
        return bar, epochs, left, spark, phrases.number(values[-1] if values else None), words

    def failures(self, count: int) -> list[Text]:
        """Return the last failures, the newest below."""
        if not count:
            return []
        failed = [trial for trial in self.trials if trial.status == "failed"]
        lines = []
        for trial in failed[-MOST_FAILURES:]:
            words = " ".join((*trial.words, *trial.replicate))
            text = f"{words}: {short_reason(trial)}"
            lines.append(Text.assemble(("failed  ", BAD), self._text(text)))
        return lines

    def _text(self, text: str) -> str:
        return printable(text, self.encoding)
