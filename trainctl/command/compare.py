"""Compare runs: the settings that differ, and the results side by side.

Usage: trainctl compare RUN RUN... [root=DIR]

  RUN        a run's directory, its name below the root, or a part of the
             name that matches no other run; at least two
  root=DIR   directory of the runs; default: runs

In each row of the results, * marks the best value. - means that the run does
not have this setting or result.

Examples:
  trainctl compare 20250101-1200 20250101-1210
  trainctl compare runs/20250101-120000-digits-mlp-a1b2c3 other/run
"""

import math
from collections.abc import Sequence
from pathlib import Path

from trainctl.command import arguments
from trainctl.errors import ConfigError
from trainctl.finished.record import Record, metric_columns, read
from trainctl.report import phrases, table
from trainctl.run.metric_names import maximize
from trainctl.settings.config import leaves
from trainctl.settings.spelling import nearest, spell
from trainctl.store import rundir
from trainctl.store.records import Sizes
from trainctl.wording import shortened

OPTIONS = {"root": "runs"}
LONGEST = 200  # characters of a setting: an ensemble's has all of its parts
DECIMALS = 6  # for metrics below 10


def main(argv: Sequence[str]) -> int:
    """Print the comparison; return the exit code.

    Raises:
        ConfigError: If there are fewer than two runs, or one is named twice.
        CheckpointError: If a run does not exist, or its configuration cannot be read.
    """
    names, root = _names_and_root(argv)
    if len(names) < 2:
        raise ConfigError("trainctl compare needs at least two runs (trainctl runs lists them)")
    records = _records(names, root)
    _settings(records)
    table.line()
    _results(records)
    if len({record.fingerprint for record in records} - {None}) > 1:
        table.line('\nThese runs were trained on different data (see the "data" row): metrics are not comparable.')
    return 0


def _names_and_root(argv: Sequence[str]) -> tuple[list[str], Path]:
    """Return the runs' names and the root; a trial's name, such as ``0-optimizer.lr=0.1``, also contains ``=``."""
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True)
    for override in parsed.overrides:
        if (key := override.partition("=")[0]).isidentifier():
            raise ConfigError(f"{override}: no such option{nearest(key, OPTIONS)}")
    names = {*parsed.names, *parsed.overrides}
    return [argument for argument in argv if argument in names], Path(parsed.options["root"])


def _records(names: Sequence[str], root: Path) -> list[Record]:
    paths: list[Path] = []
    for name in names:
        path = rundir.find(name, root)
        if path.resolve() in [other.resolve() for other in paths]:
            raise ConfigError(f"{name}: same run as {path}, which is already in the list; name different runs")
        rundir.read_config(path)  # a damaged configuration is an error in this command
        paths.append(path)
    return [read(path, root) for path in paths]


def _settings(records: Sequence[Record]) -> None:
    """Print the settings that differ, in the order of the configurations."""
    flattened = [leaves(record.config) for record in records]
    rows = []
    for key in dict.fromkeys(key for settings in flattened for key in settings):
        cells = [spell(settings[key]) if key in settings else "-" for settings in flattened]
        if len(set(cells)) > 1:
            rows.append([key, *(shortened(cell, LONGEST) for cell in cells)])
    if rows:
        table.show(["setting", *_labels(records)], rows, title="Settings that differ")
    else:
        table.line("No settings differ.", style="bold")


def _results(records: Sequence[Record]) -> None:
    """Print outcome, metrics, steps, epochs, parameters, data and time."""
    rows = [["outcome", *(record.outcome for record in records)]]
    rows += [_metric(name, records) for name in metric_columns(records)]
    rows += [
        ["steps", *(phrases.count(record.steps) for record in records)],
        ["epochs", *(phrases.epochs(record.epochs) for record in records)],
        ["parameters", *(phrases.count(record.parameters) for record in records)],
        *_costs(records),
        ["data", *((record.fingerprint or "-")[:12] for record in records)],
        ["time", *(phrases.duration(record.seconds) for record in records)],
    ]
    table.show(["result", *_labels(records)], rows, title="Results (* best)")


def _costs(records: Sequence[Record]) -> list[list[str]]:
    """Return the rows of what models cost; none unless a command has measured it for one of the runs."""
    sizes = [record.size or Sizes() for record in records]
    counts = {"not zero": [size.nonzero for size in sizes], "bytes": [size.bytes for size in sizes]}
    times = {
        "ms a row, batch of 1": [size.ms_1 for size in sizes],
        "ms a row, batch of 128": [size.ms_128 for size in sizes],
    }
    rows = [[label, *map(phrases.count, values)] for label, values in counts.items()]
    rows += [[label, *(table.number(value, 3) for value in values)] for label, values in times.items()]
    return rows if any(record.size for record in records) else []


def _metric(name: str, records: Sequence[Record]) -> list[str]:
    """Return a metric's row; the best value is marked, unless all values are equal."""
    values = [record.metrics.get(name) for record in records]
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    best = (max if maximize(name) else min)(numbers) if len(set(numbers)) > 1 else None
    marks = [" *" if best is not None and value == best else "" for value in values]
    return [name, *(phrases.number(value, DECIMALS) + mark for value, mark in zip(values, marks, strict=True))]


def _labels(records: Sequence[Record]) -> list[str]:
    return [record.name for record in records]
