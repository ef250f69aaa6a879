"""One plain line for each evaluation: for pipes, log files and CI; no escape codes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from trainctl.report import phrases as words
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run


class Plain(Reporter):
    r"""Writes lines to a stream, and falls silent where the stream is closed or broken: training goes on.

    Args:
        stream: Where to; it stays open, and what its encoding lacks is written as ``\xf6``.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.widths: dict[str, int] = {}

    def start(self, run: Run, directory: Path, history: Sequence[Row]) -> None:
        """Write what is trained, where."""
        self.run, self.directory = run, directory
        for line in words.labelled(words.header(run, directory)):
            self._write(line)
        if history:
            self._write(f"resumed at step {run.state.step:,}, after {len(history)} evaluations")

    def evaluation(self, row: Row) -> None:
        """Write the newest evaluation; ``*`` marks the best so far."""
        run, pad = self.run, self._pad
        epoch = words.of_epochs(run, words.epochs(row.get("epoch")))
        step = words.of_steps(run, words.count(row.get("step")))
        parts = [f"epoch {pad('epoch', epoch)}", f"step {step}"]
        parts += [f"{name} {pad(name, words.number(row[name]))}" for name in words.metrics(row)]
        parts[-1] += " *" if words.is_best(run, row) else "  "
        parts.append(f"lr {pad('lr', words.few(row.get('lr')))}")
        if waited := words.patience(run):
            parts.append(f"patience {pad('patience', waited)}")
        parts.append(pad("seconds", words.duration(row.get("seconds"))))
        parts.append(f"{pad('speed', words.count(row.get('samples_per_second')))} samples/s")
        self._write("  ".join(parts))

    def engine(self, text: str) -> None:
        """Write how steps are taken, as a line of the header that comes later."""
        self._write(f"engine  {text}")

    def unsaved(self) -> list[Row]:
        """Keep no records."""
        return []

    def forget(self, step: int) -> None:
        """Leave what was written."""

    def note(self, text: str) -> None:
        """Write a line for the user."""
        self._write(text)

    def detail(self, text: str) -> None:
        """Leave out what is for the log."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write what the run came to and what to type next."""
        settings = self.run.config
        for line in words.labelled(words.closing(summary, self.directory, settings.loop, settings.components)):
            self._write(line)

    def close(self) -> None:
        """Leave the stream to its owner."""
        self.stream = None

    def _pad(self, column: str, text: str) -> str:
        """Right-align text to the widest one that this column has had."""
        self.widths[column] = max(len(text), self.widths.get(column, 0))
        return text.rjust(self.widths[column])

    def _write(self, line: str) -> None:
        if self.stream is None:
            return
        try:
            self.stream.write(words.printable(line, self.encoding) + "\n")
            self.stream.flush()
        except BrokenPipeError:
            _drain(self.stream)
            self.stream = None
        except (OSError, ValueError):  # ValueError: the file is closed
            self.stream = None


def _drain(stream: TextIO) -> None:
    """Point a broken pipe at nothing; else Python's own flush at exit fails, and changes the exit code to 120."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        return
