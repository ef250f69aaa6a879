"""The live view on a terminal. rich draws it at 8 Hz from the run itself, so the loop makes no call for a step."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.live import Live
from rich.text import Text

from trainctl.report import run_lines, table
from trainctl.report.styles import BAD, BEST, LABEL, PAUSED, VALUE
from trainctl.report.terminal import HARMLESS, HERTZ, QuietLive, hanging
from trainctl.report.view import View
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run

OUTCOMES = {"finished": BEST} | dict.fromkeys(("stopped", "interrupted", "terminated"), PAUSED)
PASTED = ("run", "next", "")  # labels of lines that are copied as a whole


class Console(Reporter):
    """Shows a run on a terminal; no error raised here reaches the training loop.

    Args:
        console: rich's console to draw on; by default one on standard output.
    """

    def __init__(self, console: RichConsole | None = None) -> None:
        self.console = console or table.console()
        self.view: View | None = None
        self.live: Live | None = None

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Print the header and start the live view below it; the cursor is hidden until :meth:`finish` or :meth:`close`."""
        self.view = View(run, directory, history, self.console.encoding)
        self.view.has_header = False
        with suppress(*HARMLESS):
            for label, text in self.view.header:
                for line in hanging(f"{label:<8}", LABEL, Text(text), self.console.width, whole=label in PASTED):
                    self.console.print(line, soft_wrap=True)
        with suppress(*HARMLESS):
            self.live = QuietLive(self.view, console=self.console, refresh_per_second=HERTZ, vertical_overflow="crop")
            self.live.start(refresh=True)

    def evaluation(self, row: Row) -> None:
        """Add the newest evaluation, which the next frame shows."""
        assert self.view
        self.view.rows.append(row)
        self.view.loss = None

    def heartbeat(self, row: Row) -> None:
        """Show the training loss since the newest evaluation, in the next frame."""
        assert self.view
        self.view.loss = row.get("train/loss")

    def engine(self, text: str) -> None:
        """Print how steps are computed below the header, above the view."""
        assert self.view
        self.view.engine = text
        with suppress(*HARMLESS):
            shown = table.printable(text, self.console.encoding)
            for line in hanging(f"{'engine':<8}", LABEL, Text(shown), self.console.width):
                self.console.print(line, soft_wrap=True)

    def forget(self, step: int) -> None:
        """Remove the evaluations after a step."""
        assert self.view
        self.view.rows[:] = [row for row in self.view.rows if row["step"] <= step]

    def note(self, text: str) -> None:
        """Print a line above the view."""
        with suppress(*HARMLESS):
            self.console.print(Text(table.printable(text, self.console.encoding)), soft_wrap=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Stop the view in its last state; print how the run ended, and which commands make sense next."""
        assert self.view
        self.view.summary = summary
        self.close()
        with suppress(*HARMLESS):
            settings = self.view.run.config
            lines = run_lines.closing(summary, self.view.directory, settings.loop, settings.components)
            width = max(len(label) for label, _ in lines)
            self.console.print()
            for label, text in lines:
                outcome = OUTCOMES.get(label, BAD) if label == summary.get("outcome") else LABEL
                shown = table.printable(text, self.console.encoding)
                said = Text(shown, VALUE if label in ("next", "") else "")
                for line in hanging(f"{label:<{width}}  ", outcome, said, self.console.width, whole=label in PASTED):
                    self.console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Stop the view and show the cursor again; a second call does nothing."""
        live, self.live = self.live, None
        if live is not None:
            with suppress(*HARMLESS):
                live.stop()
