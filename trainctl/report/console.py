"""The live view of a terminal, drawn by rich at 8 Hz from what the run holds; the loop makes no call for a step."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.live import Live
from rich.text import Text

from trainctl.report import phrases as words
from trainctl.report.view import BAD, LABEL, VALUE, View
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run

HERTZ = 8
OUTCOMES = {"finished": "bold green", "interrupted": "bold yellow", "terminated": "bold yellow"}
# rich ends the process where a pipe breaks; a terminal that is gone must not end a training
HARMLESS = (Exception, SystemExit)


class Console(Reporter):
    """Shows a run on a terminal; nothing that goes wrong here reaches the training.

    Args:
        console: rich's console to draw on; by default one on stdout.
    """

    def __init__(self, console: RichConsole | None = None) -> None:
        self.console = console or RichConsole()
        self.view: View | None = None
        self.live: Live | None = None

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Begin the live view; the terminal's cursor is hidden until :meth:`finish` or :meth:`close`."""
        self.view = View(run, directory, history, self.console.encoding)
        with suppress(*HARMLESS):
            self.live = QuietLive(self.view, console=self.console, refresh_per_second=HERTZ, vertical_overflow="crop")
            self.live.start(refresh=True)

    def evaluation(self, row: Row) -> None:
        """Take the newest evaluation; the next frame shows it."""
        assert self.view
        self.view.rows.append(row)

    def engine(self, text: str) -> None:
        """Take how steps are taken; the next frame shows it beside the device."""
        assert self.view
        self.view.engine = text

    def unsaved(self) -> list[Row]:
        """Keep no records."""
        return []

    def forget(self, step: int) -> None:
        """Drop evaluations after a step."""
        assert self.view
        self.view.rows[:] = [row for row in self.view.rows if row["step"] <= step]

    def note(self, text: str) -> None:
        """Print a line above the view."""
        with suppress(*HARMLESS):
            self.console.print(Text(words.printable(text, self.console.encoding)), soft_wrap=True)

    def detail(self, text: str) -> None:
        """Leave out what is for the log."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """End the view in its last state and print what the run came to and what to type next."""
        assert self.view
        self.view.summary = summary
        self.close()
        with suppress(*HARMLESS):
            settings = self.view.run.config
            lines = words.closing(summary, self.view.directory, settings.loop, settings.components)
            width = max(len(label) for label, _ in lines)
            self.console.print()
            for label, text in lines:
                outcome = OUTCOMES.get(label, BAD) if label == summary.get("outcome") else LABEL
                shown = words.printable(text, self.console.encoding)
                line = Text.assemble((f"{label:<{width}}  ", outcome), (shown, VALUE if label in ("next", "") else ""))
                self.console.print(line, soft_wrap=True)  # no line breaks of ours inside a command to paste

    def close(self) -> None:
        """End the view and give the cursor back; a second call does nothing."""
        live, self.live = self.live, None
        if live is not None:
            with suppress(*HARMLESS):
                live.stop()


class QuietLive(Live):
    """A live display whose thread outlives a frame that could not be drawn or written."""

    def refresh(self) -> None:
        """Draw a frame."""
        with suppress(*HARMLESS):
            super().refresh()
