"""What the process writes by itself: tracebacks, warnings and libraries' logs, on streams that may be closed or narrow.

Together with :mod:`trainctl.report.table` the only module that touches the terminal. Whatever Python or a library prints
may quote names that came with the data, so it is escaped like everything else.
"""

import io
import logging
import os
import sys
import traceback
import warnings
from contextlib import suppress
from types import TracebackType
from typing import TextIO, cast

from trainctl.errors import Advice
from trainctl.report import pipes, table

SMALLEST, LARGEST = 10, 10_000  # columns or lines of a terminal


def prepare() -> None:
    """Let nothing that this process writes raise, or control the terminal, whatever streams and settings it was given."""
    _open_closed_streams()
    for name in ("COLUMNS", "LINES"):
        value = os.environ.get(name)
        if value is not None and not (value.isascii() and value.isdecimal() and SMALLEST <= int(value[:9]) < LARGEST):
            del os.environ[name]  # so the terminal is asked; a table of 0 columns would be empty
    for stream in (sys.stdout, sys.stderr):
        # Text of data may hold characters that a latin-1 terminal lacks; a stream of another kind stays as it is.
        with suppress(AttributeError, OSError, ValueError):
            cast("io.TextIOWrapper", stream).reconfigure(errors="backslashreplace")
    sys.excepthook = show_traceback
    warnings.showwarning = show_warning
    logging.lastResort = Log(logging.WARNING)
    if any("error" in option for option in sys.warnoptions):  # PYTHONWARNINGS=error: a note would end the run
        warnings.resetwarnings()
    warnings.simplefilter("default", Advice, append=False)


def _open_closed_streams() -> None:
    """Open what the shell has closed (`>&-`): the next file would get its number, and a library's output with it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the whole process


def show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, as Python does for a bug of ours or of a user's component."""
    _write("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"))


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning: our advice as one line like an error, any other as Python does."""
    if issubclass(category, Advice):
        _write(f"trainctl: note: {table.printable(str(message))}", file)
    else:
        _write(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"), file)


class Log(logging.Handler):
    """Prints what libraries log and nobody else handles."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        try:
            _write(record.getMessage())
        except Exception:  # noqa: BLE001 - a record whose arguments do not fit its text
            return


def _write(text: str, stream: TextIO | None = None) -> None:
    stream = stream or sys.stderr
    try:
        table.lines(text, stream=stream)
    except (OSError, ValueError):  # nobody reads on, or the stream is closed
        pipes.drain(stream)
