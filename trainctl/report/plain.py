"""One plain line for each evaluation, without escape codes: for pipes, log files and CI."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from trainctl.report import phrases, run_lines, table
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.wording import amount

FIRST, LONGEST = 10.0, 300.0  # between the lines of a run that has no evaluation for a long time [s]


class Plain(Reporter):
    r"""Writes lines to a stream; if the stream is closed or broken, training continues without them.

    Args:
        stream: Where to write; it is not closed. Characters that its encoding lacks are escaped, as in ``\xf6``.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.widths: dict[str, int] = {}
        self.written, self.pause = time.monotonic(), FIRST

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Write the header: the run's directory, device, model and data."""
        self.run, self.directory = run, directory
        for line in phrases.labelled(run_lines.header(run, directory)):
            self._write(line)
        if history:
            self._write(f"resumed at step {run.state.step:,}, after {amount(len(history), 'evaluation')}")

    def evaluation(self, row: Row) -> None:
        """Write the newest evaluation; ``*`` marks the best one so far."""
        self._row(row, " *" if phrases.is_best(self.run, row) else "  ")

    def heartbeat(self, row: Row) -> None:
        """Write how far training is, if nothing was written for a while; the pauses become longer."""
        if time.monotonic() - self.written >= self.pause:
            self.pause = min(LONGEST, 2 * self.pause)
            self._row(row, "  ")

    def _row(self, row: Row, mark: str) -> None:
        run, pad = self.run, self._pad
        self.written = time.monotonic()
        epoch = phrases.of_epochs(run, phrases.epochs(row.get("epoch")))
        step = phrases.of_steps(run, phrases.count(row.get("step")))
        parts = [f"epoch {pad('epoch', epoch)}", f"step {step}"]
        parts += [f"{name} {pad(name, phrases.number(row[name]))}" for name in phrases.metrics(row)]
        parts[-1] += mark
        parts.append(f"lr {pad('lr', phrases.setting(row.get('lr')))}")
        if waited := phrases.patience(run):
            parts.append(f"patience {pad('patience', waited)}")
        parts.append(pad("seconds", phrases.duration(row.get("seconds"))))
        parts.append(f"{pad('speed', phrases.count(row.get('samples_per_second'), unknown='?'))} samples/s")
        self._write("  ".join(parts))

    def engine(self, text: str) -> None:
        """Write how steps are computed; this is known only after the header."""
        self._write(f"engine  {text}")

    def note(self, text: str) -> None:
        """Write a line for the user."""
        self._write(text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write how the run ended and which commands make sense next."""
        settings = self.run.config
        for line in phrases.labelled(run_lines.closing(summary, self.directory, settings.loop, settings.components)):
            self._write(line)

    def close(self) -> None:
        """Stop writing; the stream itself stays open."""
        self.stream = None

    def _pad(self, column: str, text: str) -> str:
        """Right-align text to the widest text in this column so far."""
        self.widths[column] = max(len(text), self.widths.get(column, 0))
        return text.rjust(self.widths[column])

    def _write(self, line: str) -> None:
        if self.stream is not None:
            self.stream = table.write_line(self.stream, line, self.encoding)
