"""The words and numbers that the reporters share: pure functions that return plain text, without rich or torch."""

import math
import os
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainctl.report import table
from trainctl.settings.config import Loop

if TYPE_CHECKING:  # they import torch
    from trainctl.run.reporter import Row
    from trainctl.run.run import Run

Line = tuple[str, str]  # what it is, and the text


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""Return text with everything escaped that an encoding or a terminal cannot take; only line breaks stay.

    >>> printable("a\x1b[31m\nb"), printable("Größe", "ascii")
    ('a\\x1b[31m\nb', 'Gr\\xf6\\xdfe')
    """
    return "\n".join(table.printable(line, encoding) for line in text.split("\n"))


def number(value: float | None) -> str:
    """Write a metric with four to five digits; None, as JSON has it, is not a number.

    >>> [number(value) for value in (0.12345, 53.123456, 2853.19, 1.5e-5, 2e7, math.nan, 0)]
    ['0.1235', '53.123', '2853.2', '1.50e-05', '2.00e+07', 'nan', '0.0000']
    """
    value = math.nan if value is None else float(value)
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.{4 - min(4, max(0, math.floor(math.log10(abs(value) or 1))))}f}"


def count(value: float | None) -> str:
    """Write a whole number with thousands separated, ``?`` if it is not known.

    >>> count(45120.4), count(None), count(math.nan)
    ('45,120', '?', '?')
    """
    return f"{value:,.0f}" if value is not None and math.isfinite(value) else "?"


def few(value: float | None) -> str:
    """Write a setting such as a learning rate, without zeros at its end.

    >>> few(0.001), few(1e-05), few(20.0), few(2.512)
    ('0.001', '1e-05', '20', '2.512')
    """
    return f"{math.nan if value is None else value:.4g}"


def epochs(value: float | None) -> str:
    """Write a number of epochs, with two decimals inside an epoch.

    >>> epochs(3.0), epochs(2.512), epochs(1234567.0)
    ('3', '2.51', '1234567')
    """
    value = math.nan if value is None else round(value, 2)
    return f"{value:.0f}" if value == int(value if math.isfinite(value) else 0) else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Write a time in the two units that matter.

    >>> [duration(seconds) for seconds in (0.12, 59.7, 185, 7380, 273600)]
    ['0.1 s', '1 min 00 s', '3 min 05 s', '2 h 03 min', '3 d 04 h']
    """
    if seconds is None or not math.isfinite(seconds):
        return "?"
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


def share(done: str, total: str | None) -> str:
    """Write ``done/total``, right-aligned to the width of ``total/total``; without a total just ``done``.

    >>> share("3", "20"), share("3", None)
    (' 3/20', '3')
    """
    return done if total is None else f"{done:>{len(total)}}/{total}"


def metrics(row: Mapping[str, Any]) -> list[str]:
    """Return the names of a row's metrics, ``split/name``, in its order."""
    return [name for name in row if "/" in name]


def of_steps(run: "Run", done: str) -> str:
    """Write ``done/total`` steps."""
    return share(done, None if run.plan.by_clock else count(run.plan.total_steps))


def of_epochs(run: "Run", done: str) -> str:
    """Write ``done/total`` epochs."""
    return share(done, None if run.plan.by_clock else epochs(run.plan.total_steps / run.plan.steps_per_epoch))


def is_best(run: "Run", row: "Row") -> bool:
    """Say whether a row is the best evaluation so far."""
    return run.state.best is not None and run.state.best.step == row.get("step")


def patience(run: "Run") -> str:
    """Return how many evaluations without improvement have passed, ``3/10``, or nothing."""
    stopping = run.state.stopping
    return "" if stopping.limit is None else f"{stopping.waited}/{stopping.limit}"


def header(run: "Run", directory: Path) -> list[Line]:
    """Return where a run lives and what it is made of."""
    from trainctl.machine import device  # imports torch, which commands that only print numbers do not need

    config, data = run.config, run.data
    sizes = ", ".join(f"{len(rows):,} {split}" for split, rows in data.splits.items())
    shape = "x".join(map(str, data.input_shape))
    kinds = f"{len(data.class_names)} classes" if data.class_names else run.task
    return [
        ("run", table.printable(str(directory))),
        ("device", f"{device.name(run.device, run.threads)}, {config.precision}"),
        ("model", f"{config.members('model')[0]['name']}, {run.parameters:,} parameters"),
        ("data", f"{config.parts['dataset']['name']}: {sizes}; rows of {shape}, {kinds}"),
        *(("clean", change) for change in data.changes),
        *(("note", note) for note in data.notes),
    ]


def closing(summary: Mapping[str, Any], directory: Path, loop: Loop, packages: Sequence[str] = ()) -> list[Line]:
    """Return what a run came to, where it lies, and what to type next; a line without a label goes on."""
    lines = [(str(summary.get("outcome", "ended")), str(summary.get("reason", "")))]
    if best := summary.get("best"):
        value = f"{summary.get('monitor', 'value')} {number(best['value'])}"
        lines.append(("best", f"{value} at epoch {epochs(best['epoch'])}, step {count(best['step'])}"))
    measured = summary.get("metrics") or {}
    if test := [name for name in measured if name.startswith("test/")]:
        lines.append(("test", ", ".join(f"{name[5:]} {number(measured[name])}" for name in test)))
    lines.append(("time", _effort(summary)))
    lines.append(("run", table.printable(str(directory))))
    commands = next_commands(directory, str(summary.get("outcome")), loop, own(packages))
    return lines + [("next" if not index else "", command) for index, command in enumerate(commands)]


def _effort(summary: Mapping[str, Any]) -> str:
    steps, passes = count(summary.get("steps")), epochs(summary.get("epochs"))
    speed = count(summary.get("samples_per_second"))
    return f"{duration(summary.get('seconds'))}, {steps} steps, {passes} epochs, {speed} samples/s"


def own(packages: Sequence[str]) -> str:
    """Return the word by which a command loads components of the user's own, after a blank; "" if there are none."""
    return " " + shlex.quote(f"components=[{','.join(packages)}]") if packages else ""


def next_commands(directory: Path, outcome: str, loop: Loop, more: str = "") -> list[str]:
    """Return the commands that make sense after a run, ready to paste; none where nothing was kept."""
    path = pasteable(directory)
    resume, evaluate = f"trainctl resume {path}{more}", f"trainctl evaluate {path}{more}"
    if outcome == "failed" and (directory / "nonfinite.json").is_file():  # as it is, it would only fail again
        return [f"{resume} loop.on_nonfinite={way}" for way in ("skip", "rewind")]
    if outcome == "failed":
        return [resume] if (directory / "checkpoints").is_dir() else []
    if outcome != "finished":
        return [resume, evaluate]
    return [
        evaluate,
        f"trainctl predict {path} INPUT{more}",
        f"{resume} {' '.join(longer(loop))}",
        f"trainctl compare {path} OTHER_RUN",
    ]


def longer(loop: Loop) -> list[str]:
    """Return the overrides that double a run's budget.

    >>> from dataclasses import replace
    >>> loop = Loop(20, None, "1.5h", 32, 1024, 1, None, None, None, None, "stop", "auto")
    >>> longer(loop), longer(replace(loop, epochs=None, max_steps=100, max_time=None))
    (['loop.epochs=40', 'loop.max_time=3h'], ['loop.max_steps=200'])
    """
    budgets = {"epochs": loop.epochs, "max_steps": loop.max_steps}
    words = [f"loop.{name}={2 * value}" for name, value in budgets.items() if value]
    if loop.max_time:
        amount = f"{2 * float(loop.max_time[:-1]):f}".rstrip("0").rstrip(".")
        words.append(f"loop.max_time={amount}{loop.max_time[-1]}")
    return words


def pasteable(directory: Path) -> str:
    """Return a path as the shell takes it, relative to the working directory where it lies below."""
    path = str(directory)
    if directory.is_absolute() and directory.is_relative_to(Path.cwd()):
        path = str(directory.relative_to(Path.cwd()))
    if path.startswith("-"):
        path = f".{os.sep}{path}"
    return subprocess.list2cmdline([path]) if os.name == "nt" else shlex.quote(path)


def labelled(lines: Iterable[Line]) -> list[str]:
    """Return lines with their labels in a column of their own."""
    lines = list(lines)
    width = max((len(label) for label, _ in lines), default=0)
    return [f"{label:<{width}}  {text}".rstrip() for label, text in lines]


def is_wide(values: Iterable[float]) -> bool:
    """Say whether values are positive and span more than two decades, so that a log scale shows them better."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > 100 * min(finite)


def sparkline(values: Sequence[float | None], width: int, levels: str, ends: tuple[float, float] | None = None) -> str:
    """Draw values as one character each, averaged where they are more than ``width``; ``!`` is not a number.

    Args:
        values: In the order of time; on a log scale where :func:`is_wide`.
        width: Characters to use at most.
        levels: Characters from the lowest to the highest.
        ends: Values of the lowest and the highest character, on a linear scale; None: what the values reach.

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
