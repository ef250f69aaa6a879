"""Show what a command waits for: a line that moves on a terminal, now and then a plain line elsewhere. No torch.

Both go to standard error, so that standard output contains results only. Work that takes less than half a second shows
nothing. A thread draws, because the work itself rarely returns to Python; it lives only while there is something to show.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from trainctl.fileformat.waiting import Wait
from trainctl.report import table
from trainctl.report.layout import width

AFTER = 0.5  # before a terminal shows anything [s]
HERTZ = 8
FIRST, LONGEST = 10.0, 120.0  # between the lines that are not on a terminal, which become rarer [s]
TOGETHER = 1.0  # longest pause between two pieces of work that a reader of those lines takes for one wait [s]
FRAMES = "|/-\\"


def text(wait: Wait, seconds: float) -> str:
    """Describe a piece of work.

    >>> text(Wait("reading a.csv"), 3), text(Wait("finding the rate", 200, "steps", 50), 61)
    ('reading a.csv, 3s', 'finding the rate: 50 of 200 steps, 25 %, 1m01s, about 3m03s left')
    """
    done, total = wait.done, wait.total
    parts = [f"{wait.what}: {done:,} {wait.unit}".rstrip() if done and total is None else wait.what]
    if total:
        parts = [
            f"{wait.what}: {min(done, total):,} of {total:,} {wait.unit}".rstrip(),
            f"{100 * min(done, total) // total} %",
        ]
    parts.append(_time(seconds))
    if total and 0 < done < total and seconds > 2:
        parts.append(f"about {_time(max(1, seconds * (total - done) / done))} left")
    return ", ".join(parts)


def _time(seconds: float) -> str:
    return f"{int(seconds)}s" if seconds < 60 else table.duration(seconds)


class Waits:
    """Shows the innermost piece of work.

    Args:
        stream: Where to write.
        live: Whether the stream is a terminal.
    """

    def __init__(self, stream: TextIO, *, live: bool) -> None:
        self.stream, self.live = stream, live
        self.stack: list[tuple[Wait, float]] = []
        self.shown = 0  # characters of the line on the terminal
        self.said, self.interval = 0.0, FIRST  # when the last plain line was written, and how long until the next [s]
        self.ended = -math.inf  # when the last work did [s]
        self.changed = threading.Event()
        self.lock = threading.Lock()

    @contextmanager
    def __call__(self, wait: Wait) -> Iterator[None]:
        """Show a piece of work while the block runs."""
        self.stack.append((wait, time.monotonic()))
        thread = None
        if len(self.stack) == 1:
            self.changed.clear()
            thread = threading.Thread(target=self._draw, name="trainctl-waits", daemon=True)
            thread.start()
        try:
            yield
        finally:
            self.stack.pop()
            if thread:
                self.changed.set()
                thread.join()
                self.ended = time.monotonic()

    def _draw(self) -> None:
        """Draw until the outermost work is done, then remove the line."""
        began, frame = time.monotonic(), 0
        if began - self.ended > TOGETHER:
            self.said, self.interval = began, FIRST
        while not self.changed.wait(1 / HERTZ):
            now = time.monotonic()
            with suppress(IndexError, OSError, ValueError):  # the work has just ended, or the stream is closed
                wait, since = self.stack[-1]
                if self.live and now - began >= AFTER:
                    frame += 1
                    self._replace(f"{FRAMES[frame % len(FRAMES)]} {text(wait, now - since)}")
                elif not self.live and now - self.said >= self.interval:
                    self.said, self.interval = now, min(LONGEST, 2 * self.interval)
                    table.line(f"trainctl: {text(wait, now - since)}", stream=self.stream)
        with suppress(OSError, ValueError):
            self._replace("")

    def _replace(self, line: str) -> None:
        """Write a line over the one before."""
        if not line and not self.shown:
            return
        line = table.printable(line, self.stream.encoding)[: table.columns(self.stream) - 1]
        spaces = " " * max(0, self.shown - width(line))
        self.stream.write(f"\r{line}{spaces}" + ("" if line else "\r"))
        self.stream.flush()
        self.shown = width(line)


def for_this_process() -> Waits:
    """Return what shows waits on standard error."""
    return Waits(sys.stderr, live=sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
