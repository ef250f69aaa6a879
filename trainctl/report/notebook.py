"""The live view in a notebook: the same lines as on a terminal, as HTML that each evaluation and heartbeat replaces.

No thread draws: output of a thread would land in whichever cell runs next. IPython is imported only where it runs already.
"""

import io
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.text import Text

from trainctl.report import phrases, run_lines, table
from trainctl.report.terminal import HARMLESS, HERTZ
from trainctl.report.view import View
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run

WIDTH, HEIGHT = 100, 30  # of the view [characters, lines]
FORMAT = "<pre style=\"line-height:1.3;font-family:Menlo,Consolas,'DejaVu Sans Mono',monospace\">{code}</pre>"


def runs_here() -> bool:
    """Return whether this process is the kernel of a notebook."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    return getattr(shell, "kernel", None) is not None


class Notebook(Reporter):
    """Shows a run below a cell of a notebook; no error raised here reaches the training loop.

    Args:
        reasons: Lines that are shown above the view.
    """

    def __init__(self, reasons: Sequence[str] = ()) -> None:
        self.lines = list(reasons)
        self.view: View | None = None
        self.handle: Any = None
        self.shown = 0.0

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Show the view."""
        self.view = View(run, directory, history, "utf-8")
        with suppress(*HARMLESS):
            display = import_module("IPython.display").display
            self.handle = display(self._bundle(), raw=True, display_id=True)

    def evaluation(self, row: Row) -> None:
        """Add the newest evaluation."""
        assert self.view
        self.view.rows.append(row)
        self.view.loss = None
        self._draw()

    def heartbeat(self, row: Row) -> None:
        """Show the training loss since the newest evaluation."""
        assert self.view
        self.view.loss = row.get("train/loss")
        self._draw()

    def engine(self, text: str) -> None:
        """Show how steps are computed, next to the device."""
        assert self.view
        self.view.engine = text
        self._draw()

    def forget(self, step: int) -> None:
        """Remove the evaluations after a step."""
        assert self.view
        self.view.rows[:] = [row for row in self.view.rows if row["step"] <= step]
        self._draw()

    def note(self, text: str) -> None:
        """Show a line above the view."""
        self.lines.append(text)
        self._draw(at_once=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Show the last state, and how the run ended."""
        assert self.view
        self.view.summary = summary
        self._draw(at_once=True)

    def close(self) -> None:
        """Show the last state."""
        if self.view:
            self._draw(at_once=True)

    def _draw(self, *, at_once: bool = False) -> None:
        """Replace the view, at most so many times a second."""
        if self.handle is None or (not at_once and time.monotonic() - self.shown < 1 / HERTZ):
            return
        with suppress(*HARMLESS):
            self.handle.update(self._bundle(), raw=True)
        self.shown = time.monotonic()

    def _bundle(self) -> dict[str, str]:
        """Return the view as HTML, and as plain text for what shows no HTML."""
        assert self.view
        console = RichConsole(
            file=io.StringIO(), record=True, width=WIDTH, height=HEIGHT, force_terminal=True, color_system="truecolor",
            force_jupyter=False, legacy_windows=False,
        )  # fmt: skip
        for line in self.lines:
            console.print(Text(table.printable(line)), soft_wrap=True)
        console.print(self.view)
        for label, text in self._ending():
            console.print(Text(table.printable(f"{label:<8}  {text}")), soft_wrap=True)
        return {
            "text/html": console.export_html(inline_styles=True, code_format=FORMAT, clear=False),
            "text/plain": console.export_text(),
        }

    def _ending(self) -> list[phrases.Line]:
        """Return how the run ended, without the commands that a terminal shows."""
        assert self.view
        if self.view.summary is None:
            return []
        settings = self.view.run.config
        lines = run_lines.closing(self.view.summary, self.view.directory, settings.loop, settings.components)
        return [(label, text) for label, text in lines if label not in ("next", "")]
