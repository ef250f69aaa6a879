"""The contents of the live view: header, progress, metrics, spark lines. Each frame is drawn from the run itself."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from trainctl.errors import format_bytes
from trainctl.report import phrases, run_lines
from trainctl.report.styles import BAD, BEST, LABEL, VALUE
from trainctl.report.table import printable
from trainctl.report.terminal import ECHO, flow, marks
from trainctl.run.rate import learning_rate, schedule_position
from trainctl.run.reporter import Row
from trainctl.run.run import Run

WINDOW = 5.0  # time over which the speed is measured [s]
MOST_ROWS = 8


class Speed:
    """Measures optimizer steps per second from readings of the step counter.

    Only readings with a new step are kept, so that steps longer than the window are measured too.
    """

    def __init__(self) -> None:
        self.readings: deque[tuple[float, int]] = deque()

    def update(self, seconds: float, step: int) -> float | None:
        """Add a reading of the clock [s] and the counter; return the speed [steps/s], None if it is not known yet."""
        readings = self.readings
        if not readings or step != readings[-1][1]:
            readings.append((seconds, step))
        while len(readings) > 2 and readings[0][0] < seconds - WINDOW:
            readings.popleft()
        elapsed, steps = readings[-1][0] - readings[0][0], readings[-1][1] - readings[0][1]
        return steps / elapsed if elapsed > 0 else None


class View:
    """The live view of a run, for a terminal of any size; parts that change only with an evaluation are cached."""

    def __init__(self, run: Run, directory: Path, history: Sequence[Row], encoding: str) -> None:
        self.run, self.directory = run, directory
        self.encoding, self.marks = encoding, marks(encoding)
        self.rows: list[Row] = list(history)
        self.summary: Mapping[str, Any] | None = None
        self.header = [(label, printable(text, encoding)) for label, text in run_lines.header(run, directory)]
        self.engine = ""  # how steps are computed, once it is known
        self.has_header = True  # False if the header stands above the view, where nothing redraws it
        self.loss: float | None = None  # of the training rows since the newest evaluation
        self.speed = Speed()
        self.began, self.before = time.monotonic(), run.state.seconds
        self.cached: tuple[object, list[Segment], list[Segment]] = (None, [], [])
        self.memory = (-1.0, "")

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        """Draw the view; an error is shown in its place."""
        try:
            yield from self._draw(console, options.max_width, (options.height or options.size.height) - 1)
        except Exception as error:  # noqa: BLE001 - of any kind: the view must not end a training run
            yield Text(printable(f"no live view: {error!r}", self.encoding), no_wrap=True, overflow="crop")

    def _draw(self, console: RichConsole, width: int, height: int) -> Iterator[Segment]:
        status = self.status(width, time.monotonic())[:height]
        key = (width, height - len(status), len(self.rows), self.run.state.best, self.engine)
        if self.cached[0] != key:
            above, below = self.surroundings(width, height - len(status))
            self.cached = (key, self._segments(console, above, width), self._segments(console, below, width))
        yield from self.cached[1]
        yield from self._segments(console, status, width)
        yield from self.cached[2]

    def _segments(self, console: RichConsole, lines: Sequence[Text], width: int) -> list[Segment]:
        """Cut lines to the width and render them."""
        segments: list[Segment] = []
        for line in lines:
            if line.cell_len > width:
                line.truncate(max(0, width - 1))
                line.append(self.marks.ellipsis)
            segments += line.render(console, end="\n")
        return segments

    def surroundings(self, width: int, room: int) -> tuple[list[Text], list[Text]]:
        """Return the lines above and below the status, ``room`` at most: the table first, the others if they fit."""
        facts = dict(self.header)
        if len(str(self.directory)) > width - 8:
            facts["run"] = printable(self.directory.name, self.encoding)
        if self.engine:
            facts["device"] += f", {printable(self.engine, self.encoding)}"
        header = self.lines(facts.items()) if self.has_header else []
        sparks = self.sparks(width)
        least = 1 + min(3, len(self.rows)) if self.rows else 0
        for above, below, gaps in ((4, 2, 1), (4, 2, 0), (4, 0, 0), (1, 2, 0), (1, 0, 0), (0, 0, 0)):
            shown = sparks[:below]
            above = min(above, len(header))
            spare = room - above - len(shown) - gaps * (1 + bool(self.rows) + bool(shown))
            if spare >= least:
                break
        across = width if shown else width - ECHO  # the last line is shorter
        table = self.table(across, min(MOST_ROWS, spare - 1)) if spare > 1 and self.rows else []
        gap = [Text()] * gaps
        return (header[:above] + gap if header else []), (gap + table if table else []) + (gap + shown if shown else [])

    @staticmethod
    def lines(facts: Iterable[phrases.Line]) -> list[Text]:
        """Return a line for each fact, with its label in front."""
        return [Text.assemble((f"{label:<8}", LABEL), text) for label, text in facts]

    def status(self, width: int, now: float) -> list[Text]:
        """Return the progress bar and the numbers that change with every step."""
        run, total = self.run, self.run.plan.total_steps
        step, limit = run.state.step, run.config.loop.max_seconds
        elapsed = self.before + now - self.began
        speed = self.speed.update(now, step)
        samples = None if speed is None else speed * run.rows_per_step
        done = 0.0 if run.plan.by_clock else step / total
        epoch = phrases.of_epochs(run, phrases.epochs(run.epoch)).strip()
        facts = [("step", phrases.of_steps(run, f"{step:,}").strip()), ("epoch", epoch)]
        if self.summary is not None:
            elapsed = self.summary.get("seconds", elapsed)
            samples = self.summary.get("samples_per_second", samples)
        facts.append(("time", phrases.duration(elapsed) + (f" of {phrases.duration(limit)}" if limit else "")))
        if self.summary is None:
            done = max(done, elapsed / limit if limit else 0.0)
            facts.append(("eta", phrases.duration(self.remaining(speed, elapsed), unknown="?")))
        facts.append(("", f"{phrases.count(samples, unknown='?')} samples/s"))
        return [self.bar(width, min(1.0, done)), *flow([*facts, *self.measures(now)], width)]

    def remaining(self, speed: float | None, elapsed: float) -> float | None:
        """Return the time until the first budget is used up [s], None if it is not known yet."""
        loop, total = self.run.config.loop, self.run.plan.total_steps
        steps = min(total, loop.stop_at_step or total) - self.run.state.step
        ends = [] if not speed or self.run.plan.by_clock else [max(0.0, steps / speed)]
        ends += [] if loop.max_seconds is None else [max(0.0, loop.max_seconds - elapsed)]
        return min(ends, default=None)

    def measures(self, now: float) -> list[phrases.Line]:
        """Return the learning rate, the patience used, the best value, and a GPU's memory."""
        facts = [("lr", phrases.setting(learning_rate(self.run, schedule_position(self.run))))]
        if self.loss is not None and self.summary is None:
            facts.insert(0, ("train/loss", phrases.number(self.loss)))
        if waited := phrases.patience(self.run):
            facts.append(("patience", waited))
        if (best := self.run.state.best) is not None:
            value = f"{self.run.config.monitor} {phrases.number(best.value)}"
            facts.append(("best", f"{value} at epoch {phrases.epochs(best.epoch)}"))
        if self.run.device.type == "cuda":
            if now - self.memory[0] > 1:  # reading it takes 0.1 ms
                self.memory = (now, memory(self.run.device))
            facts.append(("gpu", self.memory[1]))
        return facts

    def bar(self, width: int, done: float) -> Text:
        """Return the progress bar, ``done`` in [0, 1]."""
        percent = f" {int(100 * done):3d} %"
        size = max(0, min(width - len(percent), 100))
        full = int(size * done)
        return Text.assemble((self.marks.full * full, BEST), (self.marks.empty * (size - full), LABEL), percent)

    def table(self, width: int, most: int) -> list[Text]:
        """Return the newest evaluations, at most ``most``; the best one replaces the oldest of them."""
        best = next((row for row in reversed(self.rows) if phrases.is_best(self.run, row)), None)
        shown = self.rows[-most:]
        if best is not None and not any(row is best for row in shown):
            shown[0] = best
        cells = [{name: cell(name, row) for name in columns(row)} for row in shown]
        names = fitting(cells, self.run.config.monitor, width - 2)
        lines = [Text("  " + "  ".join(f"{name:>{size}}" for name, size in names.items()), style="bold")]
        for row, texts in zip(shown, cells, strict=True):
            line = Text(f"{self.marks.best if row is best else ' '} ", style=BEST if row is best else "")
            for name, size in names.items():
                text = texts.get(name, "")
                line.append(f"{text:>{size}}  ", BAD if text in ("nan", "inf", "-inf") else None)
            line.rstrip()
            lines.append(line)
        return lines

    def sparks(self, width: int) -> list[Text]:
        """Return spark lines of the monitored metric and of the training loss."""
        names = [name for name in (self.run.config.monitor, "train/loss") if any(name in row for row in self.rows[-1:])]
        size = max(map(len, names), default=0)
        lines = []
        for name in names if len(self.rows) > 1 else []:
            values = [row.get(name) for row in self.rows]
            line = phrases.sparkline(values, min(60, width - size - 12 - ECHO), self.marks.levels)
            lines.append(Text.assemble((f"{name:<{size}}  ", LABEL), (line, VALUE), f"  {phrases.number(values[-1])}"))
        return lines


def columns(row: Row) -> list[str]:
    """Return the table's columns for a row."""
    return ["epoch", "step", *phrases.metrics(row), "lr"]


def cell(name: str, row: Row) -> str:
    """Format a number as its column shows it."""
    formats = {"epoch": phrases.epochs, "step": phrases.count, "lr": phrases.setting}
    return formats.get(name, phrases.number)(row.get(name))


def fitting(cells: Sequence[Mapping[str, str]], monitor: str, room: int) -> dict[str, int]:
    """Return the columns that fit, in their order, with their widths; the important ones are chosen first."""
    names = list(dict.fromkeys(name for row in cells for name in row))
    sizes = {name: max(len(name), *(len(row.get(name, "")) for row in cells)) for name in names}
    ranks = {monitor: 0, "epoch": 1, "train/loss": 2}
    rank = {name: ranks.get(name, 3 if name.startswith("val/") else 4 if "/" in name else 5) for name in names}
    kept: set[str] = set()
    for name in sorted(names, key=lambda name: rank[name]):
        if sum(sizes[other] + 2 for other in kept) + sizes[name] > room:
            break
        kept.add(name)
    return {name: sizes[name] for name in names if name in kept}


def memory(device: torch.device) -> str:
    """Return how much GPU memory our tensors use, from the allocator's statistics, without a call to the device."""
    used, peak = torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    return f"{format_bytes(used)}, peak {format_bytes(peak)}"
