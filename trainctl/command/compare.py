"""Compare runs: the settings that differ, and the results side by side.

Usage: trainctl compare RUN RUN... [root=DIR]

  RUN        a run's directory, its name below the root, or a part of the
             name that fits no other run; at least two
  root=DIR   where the runs are; runs by default

In each row of the results * marks the best value. - stands for a setting or a
result that a run does not have.

Examples:
  trainctl compare 20250101-1200 20250101-1210
  trainctl compare runs/20250101-120000-digits-mlp-a1b2c3 other/run
"""

import math
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments as words
from trainctl.command.runs import Record, metric_names, read
from trainctl.errors import ConfigError
from trainctl.report import table
from trainctl.run.metric_names import maximize
from trainctl.settings.config import leaves
from trainctl.settings.spelling import nearest, spell
from trainctl.store import rundir

OPTIONS = {"root": "runs"}
DIGITS = 6  # of a metric


def main(arguments: Sequence[str]) -> int:
    """Print the comparison; return the exit code.

    Raises:
        ConfigError: If fewer than two runs are given, or one twice.
        CheckpointError: If a run does not exist, or its configuration cannot be read.
    """
    names, root = _words(arguments)
    if len(names) < 2:
        raise ConfigError("trainctl compare needs at least two runs (trainctl runs lists them)")
    records = _records(names, root)
    _settings(records)
    table.line()
    _results(records)
    if len({record.fingerprint for record in records} - {None}) > 1:
        table.line("\nThese runs were trained on different data (see the row data): their metrics do not compare.")
    return 0


def _words(arguments: Sequence[str]) -> tuple[list[str], Path]:
    """Return the runs' names and the root; a trial's name, ``0-optimizer.lr=0.1``, has a ``=`` too."""
    given = words.read(arguments, OPTIONS, most_names=len(arguments), overrides=True)
    for word in given.overrides:
        if (key := word.partition("=")[0]).isidentifier():
            raise ConfigError(f"{word}: no such option{nearest(key, OPTIONS)}")
    return [word for word in arguments if word in given.names or word in given.overrides], Path(given.options["root"])


def _records(names: Sequence[str], root: Path) -> list[Record]:
    paths: list[Path] = []
    for name in names:
        path = rundir.find(name, root)
        if path.resolve() in [other.resolve() for other in paths]:
            raise ConfigError(f"{name}: is {path}, which was given before; compare takes different runs")
        rundir.read_config(path)  # a damaged one is an error here
        paths.append(path)
    return [read(path, root) for path in paths]


def _settings(records: Sequence[Record]) -> None:
    """Print the settings that differ, in the order of the configurations."""
    flat = [leaves(record.config) for record in records]
    rows = []
    for key in dict.fromkeys(key for settings in flat for key in settings):
        cells = [spell(settings[key]) if key in settings else "-" for settings in flat]
        if len(set(cells)) > 1:
            rows.append([key, *cells])
    if rows:
        table.show(["setting", *_labels(records)], rows, title="Settings that differ")
    else:
        table.line("No setting differs.", style="bold")


def _results(records: Sequence[Record]) -> None:
    """Print outcome, metrics, steps, data and time."""
    rows = [["outcome", *(record.outcome for record in records)]]
    rows += [_metric(name, records) for name in metric_names(records)]
    rows += [
        ["steps", *(table.number(record.steps) for record in records)],
        ["epochs", *(table.number(record.epochs) for record in records)],
        ["parameters", *(table.number(record.parameters) for record in records)],
        ["data", *((record.fingerprint or "-")[:12] for record in records)],
        ["time", *(table.duration(record.seconds) for record in records)],
    ]
    table.show(["result", *_labels(records)], rows, title="Results (* best)")


def _metric(name: str, records: Sequence[Record]) -> list[str]:
    """Return a metric's row; the best value is marked, unless there is nothing to choose."""
    values = [record.metrics.get(name) for record in records]
    known = [value for value in values if value is not None and not math.isnan(value)]
    best = (max if maximize(name) else min)(known) if len(set(known)) > 1 else None
    marks = [" *" if best is not None and value == best else "" for value in values]
    return [name, *(table.number(value, DIGITS) + mark for value, mark in zip(values, marks, strict=True))]


def _labels(records: Sequence[Record]) -> list[str]:
    return [record.name for record in records]
