"""Format the numbers and sentences that a user reads: pure functions that return plain text. Imports no rich, no torch."""

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.report import table
from trainctl.wording import shell_words

if TYPE_CHECKING:  # they import torch, or Hydra's files
    from trainctl.run.reporter import Row
    from trainctl.run.run import Run

Line = tuple[str, str]  # a label and the text next to it


def number(value: float | None, decimals: int = 4) -> str:
    """Format a metric: so many decimals below 10, one fewer for each further digit before the point.

    >>> [number(value) for value in (0.12345, 53.123456, 2853.19, 1.5e-5, 2e7, math.nan, 0, None)]
    ['0.1235', '53.123', '2853.2', '1.50e-05', '2.00e+07', 'nan', '0.0000', '-']
    """
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(float(value))
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{decimals - 2}e}"
    return f"{value:.{decimals - min(decimals, max(0, math.floor(math.log10(abs(value) or 1))))}f}"


def count(value: float | None, unknown: str = "-") -> str:
    """Format a whole number with thousands separated.

    >>> count(45120.4), count(None), count(math.nan, "?")
    ('45,120', '-', '?')
    """
    return f"{value:,.0f}" if value is not None and math.isfinite(value) else unknown


def setting(value: float | None) -> str:
    """Format a setting such as a learning rate, without trailing zeros.

    >>> setting(0.001), setting(1e-05), setting(20.0), setting(2.512), setting(None)
    ('0.001', '1e-05', '20', '2.512', '-')
    """
    return "-" if value is None else f"{value:.4g}"


def epochs(value: float | None) -> str:
    """Format a number of epochs, with two decimals inside an epoch.

    >>> epochs(3.0), epochs(2.512), epochs(1234567.0), epochs(None)
    ('3', '2.51', '1234567', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    value = round(value, 2)
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


def duration(seconds: float | None, unknown: str = "-") -> str:
    """Format a duration in its two largest units.

    >>> [duration(seconds) for seconds in (0.12, 59.7, 185, 7380, 273600, None)]
    ['0.1 s', '1 min 00 s', '3 min 05 s', '2 h 03 min', '3 d 04 h', '-']
    """
    if seconds is None or not math.isfinite(seconds):
        return unknown
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole // 60 % 60:02d} min"
    return f"{whole // 86400} d {whole // 3600 % 24:02d} h"


def progress(done: str, total: str | None) -> str:
    """Format ``done/total``, right-aligned to the width of ``total/total``; without a total only ``done``.

    >>> progress("3", "20"), progress("3", None)
    (' 3/20', '3')
    """
    return done if total is None else f"{done:>{len(total)}}/{total}"


def metrics(row: Mapping[str, Any]) -> list[str]:
    """Return the names of a row's metrics, ``split/name``, in its order."""
    return [name for name in row if "/" in name]


def of_steps(run: "Run", done: str) -> str:
    """Format ``done/total`` steps."""
    return progress(done, None if run.plan.by_clock else count(run.plan.total_steps))


def of_epochs(run: "Run", done: str) -> str:
    """Format ``done/total`` epochs."""
    return progress(done, None if run.plan.by_clock else epochs(run.plan.total_steps / run.plan.steps_per_epoch))


def is_best(run: "Run", row: "Row") -> bool:
    """Return whether a row is the best evaluation so far."""
    return run.state.best is not None and run.state.best.step == row.get("step")


def patience(run: "Run") -> str:
    """Return how many evaluations have passed without improvement, ``3/10``; empty if no rule counts them."""
    stopping = run.state.stopping
    return "" if stopping.limit is None else f"{stopping.waited}/{stopping.limit}"


def counted(number: str, unit: str) -> str:
    """Return a number with its unit, in the plural unless it is one.

    >>> counted("1", "epoch"), counted("0.50", "epoch"), counted("-", "step")
    ('1 epoch', '0.50 epochs', '- steps')
    """
    return f"{number} {unit}{'' if number == '1' else 's'}"


def pasteable(directory: Path) -> str:
    """Return a path quoted for the shell, relative to the working directory if it is below it."""
    path = str(directory)
    if directory.is_absolute() and directory.is_relative_to(Path.cwd()):
        path = str(directory.relative_to(Path.cwd()))
    if path.startswith("-"):
        path = f".{os.sep}{path}"
    if os.name == "nt":
        import subprocess  # here, because it takes milliseconds to import and is needed only there

        return subprocess.list2cmdline([path])
    return shell_words([path])


def labelled(lines: Iterable[Line]) -> list[str]:
    """Format lines with their labels in a separate column; whatever cannot be printed is escaped."""
    lines = [(label, table.printable(text)) for label, text in lines]
    width = max((len(label) for label, _ in lines), default=0)
    return [f"{label:<{width}}  {text}".rstrip() for label, text in lines]


def is_wide(values: Iterable[float]) -> bool:
    """Return whether values are positive and span more than two decades, so that a log scale suits them."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > 100 * min(finite)


def sparkline(values: Sequence[float | None], width: int, levels: str, ends: tuple[float, float] | None = None) -> str:
    """Draw each value as one character; ``!`` marks a value that is not a number.

    Args:
        values: In order of time. They are averaged if there are more than ``width``, and drawn on a log scale
            if :func:`is_wide` returns true.
        width: Most characters to use.
        levels: Characters from the lowest to the highest.
        ends: Values of the lowest and the highest character, on a linear scale; None: the range of the values.

    >>> sparkline([1, 2, 3, math.nan, 9], 9, "▁▂▃▄▅▆▇█"), sparkline([0, 2, 4, 6], 2, "▁▂▃▄▅▆▇█")
    ('▁▂▃!█', '▁█')
    """
    points = [math.nan if value is None or not math.isfinite(value) else float(value) for value in values]
    if ends is None and is_wide(points):
        points = [math.log(value) for value in points]
    bins = min(len(points), max(0, width))
    edges = [index * len(points) // bins for index in range(bins + 1)] if bins else []
    means = [math.fsum(points[a:b]) / (b - a) for a, b in pairwise(edges)]
    finite = [value for value in means if math.isfinite(value)]
    low, high = ends or (min(finite, default=0.0), max(finite, default=0.0))
    scale = (len(levels) - 1) / (high - low) if high > low else 0.0
    return "".join(levels[round((value - low) * scale)] if math.isfinite(value) else "!" for value in means)


def shorter_names(names: Sequence[str]) -> list[list[str]]:
    """Return run names without date and time, and their last parts alone: each is a part of one name, so that it is enough.

    >>> shorter_names(["20261120-223000-iris-mlp-adam-e4eef6", "mine"])
    [['iris-mlp-adam-e4eef6', 'mine'], ['e4eef6', 'mine']]
    """
    levels = []
    for pattern in (r"\d{8}-\d{6}-(.+)", r"\d{8}-\d{6}-.*-([0-9a-f]{6})"):
        parts = [match[1] if (match := re.fullmatch(pattern, name)) else name for name in names]
        levels.append(
            [
                part if sum(part in other for other in names) == 1 else name
                for part, name in zip(parts, names, strict=True)
            ]
        )
    return levels
