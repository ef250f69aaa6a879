"""The lines of the other processes in the log of a run: they send them, and the first process writes them.

Most lines are about the run, and all processes say them: those that the first process has said itself are left out. What
is left concerns one process or its machine, and is written once, with the process and its machine.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainctl.errors import Advice
from trainctl.machine.link import Link
from trainctl.run.reporter import MultiReporter, Reporter, Row
from trainctl.run.run import Run

MOST = 1000  # lines of a process
LONGEST = 2000  # characters of a line
LOADING = -1  # in place of a step


class Sender(Reporter):
    """Sends what a process has to say to the first one.

    Args:
        link: The connection to the first process.
    """

    def __init__(self, link: Link) -> None:
        self.link, self.count = link, 0
        self.said: set[str] = set()
        self.run: Run | None = None

    def note(self, text: str) -> None:
        """Send a line, once."""
        if text in self.said or self.count > MOST:
            return
        self.said.add(text)
        if self.count == MOST:
            text = f"only {MOST} lines of a process are written"
        step = self.run.state.step if self.run else LOADING
        self.link.publish(f"log/{self.link.place.rank}/{self.count}", [step, text[:LONGEST]])
        self.count += 1

    def detail(self, text: str) -> None:
        """Send a line, once."""
        self.note(text)

    def take_warnings(self) -> None:
        """Send Python's warnings, and what libraries log, instead of printing them."""
        _take(self.note, shown=False)


class Listener(Reporter):
    """Writes what the other processes have to say into the log.

    Args:
        log: The reporter that keeps the log.
        run: The run.
    """

    def __init__(self, log: Reporter, run: Run) -> None:
        assert run.world.link is not None
        self.log, self.run, self.link = log, run, run.world.link
        self.next = dict.fromkeys(range(1, run.world.size), 0)

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Write what was said while the run was built."""
        self._write(LOADING + 1)

    def note(self, text: str) -> None:
        """Remember what the first process itself has said."""
        self.link.said.add(text)

    def evaluation(self, row: Row) -> None:
        """Write what was said before this step; what was said at this step, the first process may be about to say."""
        self._write(self.run.state.step)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the rest."""
        self._write()

    def close(self) -> None:
        """Write the rest."""
        self._write()

    def _write(self, before: int | None = None) -> None:
        for rank in self.next:
            while (found := self.link.noticed(f"log/{rank}/{self.next[rank]}")) is not None:
                step, text = found
                if before is not None and step >= before:
                    break
                self.next[rank] += 1
                if text not in self.link.said:
                    self.log.detail(f"process {rank} on {self._host(rank)}: {text}")

    def _host(self, rank: int) -> str:
        return self.link.hosts[rank] if rank < len(self.link.hosts) else "another machine"


def listening(reporter: Reporter, run: Run) -> Reporter:
    """Return a reporter that also writes what the other processes have to say, if there are any."""
    return reporter if run.world.link is None else MultiReporter(reporter, Listener(reporter, run))


def remember_warnings(link: Link) -> None:
    """Let the first process remember the warnings that it shows."""
    _take(link.said.add, shown=True)


def _take(say: Callable[[str], None], *, shown: bool) -> None:
    """Let each of Python's warnings, and of the lines that libraries log and nobody handles, be said; and be shown, or not."""
    show_warning, show_record = warnings.showwarning, logging.lastResort

    def warned(message: Warning | str, category: type[Warning], *given: Any, **named: Any) -> None:
        kind = "" if issubclass(category, Advice) else f"{category.__name__}: "
        say(f"{kind}{message}")
        if shown:
            show_warning(message, category, *given, **named)

    class Log(logging.Handler):
        """Says what libraries log."""

        def emit(self, record: logging.LogRecord) -> None:
            """Say a record."""
            with suppress(TypeError, ValueError):  # its arguments may not fit its text
                say(record.getMessage())
            if shown and show_record:
                show_record.handle(record)

    warnings.showwarning, logging.lastResort = warned, Log(logging.WARNING)
