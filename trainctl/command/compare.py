"""Compare runs or sweeps: the settings that differ, and the results side by side.

Usage: trainctl compare SWEEP [root=DIR] [format=FORMAT]
       trainctl compare RUN|SWEEP RUN|SWEEP... [root=DIR] [format=FORMAT]
                        [output=FILE.png]

  SWEEP, RUN     a directory, its name below the root, or a part of the name
                 that matches no other one
  root=DIR       directory of the runs and sweeps; default: runs
  format=FORMAT  table, json or csv
  output=FILE    draw the curves of the runs over each other, as a PNG file,
                 which must not exist

One sweep shows its ranked table, from what is known so far. Among several, a
sweep is represented by its best point: by its mean over the seeds, and by the
first run of the point next to the other runs.

Runs that were trained on the same data are compared by the 95 % intervals of
their test metrics: which differences are more than chance. If the runs repeat
their settings with several seeds, the settings are compared, paired by seed.
`trainctl report RUN RUN` compares runs row by row, which can tell more.

In each row of the results, * marks the best value. - means that the run does
not have this setting or result.

Examples:
  trainctl compare 20250101-1200-sweep
  trainctl compare 20250101-1200 20250101-1210
  trainctl compare 20250101-1200 20250101-1210 output=curves.png
  trainctl compare runs/20250101-120000-digits-mlp-a1b2c3 other/sweep
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainctl.command import arguments, option_values
from trainctl.errors import CheckpointError, ConfigError
from trainctl.fileformat import fingerprints
from trainctl.finished import costs, distinguish
from trainctl.finished.differing import differing
from trainctl.finished.record import Record, metric_columns, read, rises
from trainctl.report import phrases, table
from trainctl.settings.config import leaves
from trainctl.settings.spelling import nearest, spell
from trainctl.store import finding, rundir
from trainctl.store import records as records_of
from trainctl.store.records import Size
from trainctl.wording import shell_words, shortened

OPTIONS = {"root": "runs", "format": "table", "output": ""}
FORMATS = ("table", "json", "csv")
LONGEST = 200  # characters of a setting: an ensemble's has all of its parts
DECIMALS = 6  # for metrics below 10
MOST_CHARTS = 6  # of metrics in a picture
ROWS_ONLY = (
    "By the intervals of the metrics, 5 % for all comparisons together. They say what other test rows would change, not"
    " what other seeds would. For more, compare the runs row by row (trainctl report), or train a few seeds of each."
)
Best = dict[Path, dict[str, Any]]  # by the directory of its first run


def main(argv: Sequence[str]) -> int:
    """Print the comparison; return the exit code.

    Raises:
        ConfigError: If there is only one run, or one is named twice.
        CheckpointError: If a run or sweep does not exist, cannot be read, or has no best point yet.
    """
    names, options = _names_and_options(argv)
    root, form = Path(options["root"]), option_values.choice("format", options["format"], FORMATS)
    output = option_values.new_picture("output", options["output"])
    sweeps = {name: path for name in names if (path := finding.find_sweep(name, root)) is not None}
    if len(names) == 1 and sweeps:
        from trainctl.sweep import compared

        if output:
            where = sweeps[names[0]] / "plots"
            raise ConfigError(f"output={output}: draws the curves of runs; the plots of a sweep are in {where}")

        compared.show(sweeps[names[0]], root, form)
        return 0
    if len(names) < 2:
        raise ConfigError(_too_few(names, root))
    paths, best = _chosen(names, sweeps, root)
    records = [read(path, root) for path in paths]
    if output:
        _draw(records, output)
    if form == "table":
        _table(records, best)
    elif form == "json":
        table.json([_as_json(record, records, best) for record in records])
    else:
        _csv([_as_json(record, records, best) for record in records])
    return 0


def _table(records: Sequence[Record], best: Best) -> None:
    """Print the best points of sweeps, the settings that differ, and the results."""
    if best:
        from trainctl.sweep import compared

        compared.show_best(list(best.values()))
        table.line()
    _settings(records)
    table.line()
    comparable = not fingerprints.differ(record.fingerprint for record in records)
    _results(records, comparable)
    if comparable:
        _distinguish(records)
    else:
        table.line()
        table.line('These runs were trained on different data (see the "data" row): metrics are not comparable.')


def _as_json(record: Record, records: Sequence[Record], best: Best) -> dict[str, Any]:
    """Return a run's part of the comparison as plain values, with the best point that it stands for."""
    flattened = leaves(record.config)
    return {
        "run": record.name,
        "path": str(record.path),
        "outcome": record.outcome,
        "sweep": best.get(record.path),
        "settings": {key: flattened.get(key) for key in differing(records)},
        "metrics": {name: record.metrics.get(name) for name in metric_columns(records)},
        "intervals": _intervals(record),
        "steps": record.steps,
        "epochs": record.epochs,
        "seconds": record.seconds,
        "parameters": record.parameters,
        "data": record.fingerprint,
    }


def _csv(rows: Sequence[dict[str, Any]]) -> None:
    """Print a row for each run, with a column for each setting that differs and each metric."""
    flat = []
    for row in rows:
        cells = {key: value for key, value in row.items() if key not in ("sweep", "settings", "metrics", "intervals")}
        settings = {key: "" if value is None else spell(value) for key, value in row["settings"].items()}
        point = {f"sweep_{key}": value for key, value in (row["sweep"] or {}).items() if not isinstance(value, dict)}
        flat.append({**cells, **settings, **row["metrics"], **point})
    columns = list(dict.fromkeys(key for row in flat for key in row))
    table.text(table.csv([columns, *([row.get(key) for key in columns] for row in flat)]))


def _names_and_options(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the runs' names and the options; a trial's name, such as ``0-optimizer.lr=0.1``, also contains ``=``."""
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True)
    for override in parsed.overrides:
        if (key := override.partition("=")[0]).isidentifier():
            raise ConfigError(f"{override}: no such option{nearest(key, OPTIONS)}")
    names = {*parsed.names, *parsed.overrides}
    return [argument for argument in argv if argument in names], parsed.options


def _too_few(names: Sequence[str], root: Path) -> str:
    """Return the message for less than two runs; if the one is a trial, it names the sweep."""
    needed = "compare needs at least two runs, or a sweep: trainctl compare"
    if not names:
        return f"{needed} RUN RUN (trainctl runs lists them)"
    found = rundir.find(names[0], root)
    sweep = next((str(path) for path in found.parents if path.absolute() == finding.sweep_around(found)), None)
    return f"{found}: {needed} {shell_words([sweep]) if sweep else 'RUN RUN'}"


def _chosen(names: Sequence[str], sweeps: dict[str, Path], root: Path) -> tuple[list[Path], Best]:
    """Return the runs to compare, and the best point of a sweep for each run that stands for one."""
    paths: list[Path] = []
    best: Best = {}
    for name in names:
        found = [rundir.find(name, root)] if name not in sweeps else []
        if name in sweeps:
            from trainctl.sweep import compared  # imports numpy

            points = compared.best_points(sweeps[name], root)
            found, best = list(points), best | points
        for path in found:
            if path.resolve() in [other.resolve() for other in paths]:
                raise ConfigError(f"{name}: same run as {path}, which is already in the list; name different runs")
            rundir.read_config(path)  # a damaged configuration is an error in this command
            paths.append(path)
    return paths, best


def _settings(records: Sequence[Record]) -> None:
    """Print the settings that differ."""
    if rows := [[key, *(shortened(cell, LONGEST) for cell in cells)] for key, cells in differing(records).items()]:
        table.show(
            ["setting", *_labels(records)], rows, title="Settings that differ", names=_shorter("setting", records)
        )
    else:
        table.line("No settings differ.", style="bold")


def _intervals(record: Record) -> dict[str, list[float]]:
    """Return the 95 % intervals of a run's metrics, as far as its summary has them."""
    try:
        return records_of.read_summary(record.path).intervals
    except CheckpointError:
        return {}


def _distinguish(records: Sequence[Record]) -> None:
    """Print which differences are more than chance: between seeds if runs repeat them, else between test rows."""
    from trainctl.sweep import repeated  # imports numpy

    metrics = [name for name in metric_columns(records) if name.startswith("test/")] or metric_columns(records)
    lines = repeated.sentences(records, metrics)
    if not lines:
        named = {record.name: record.metrics for record in records}
        verdicts = distinguish.by_intervals(named, {record.name: _intervals(record) for record in records})
        lines = [verdict.sentence for verdict in verdicts]
        lines += [ROWS_ONLY] if lines else []
    if lines:
        table.line()
        table.line("Distinguishable?", style="bold")
    for line in lines:
        table.line(line)


def _draw(records: Sequence[Record], output: Path) -> None:
    """Draw the curves of runs over each other."""
    from trainctl.report import about, chart_plot, curve_charts

    rows = {record.name: [row for row in rundir.read_metrics(record.path) if "lr" in row] for record in records}
    data = dict.fromkeys(about.data_name(record.config.get("dataset") or {}) for record in records)
    charts = curve_charts.over_each_other(rows, ", ".join(data))[:MOST_CHARTS]
    if not charts:
        raise ConfigError(f"output={output}: none of these runs has an evaluation to draw")
    chart_plot.panel(charts, f"Curves of {len(records)} runs", charts[0].about, output)
    table.line(f"trainctl: wrote {output}", stream=sys.stderr)


def _results(records: Sequence[Record], comparable: bool) -> None:
    """Print outcome, metrics, steps, epochs, parameters, data and time; mark the best if they are comparable."""
    rows = [["outcome", *(record.outcome for record in records)]]
    rows += [_metric(name, records, comparable) for name in metric_columns(records)]
    rows += [
        ["steps", *(phrases.count(record.steps) for record in records)],
        ["epochs", *(phrases.epochs(record.epochs) for record in records)],
        ["parameters", *(phrases.count(record.parameters) for record in records)],
        *_costs(records),
        ["data", *(fingerprints.shown(record.fingerprint or "-") for record in records)],
        ["time", *(phrases.duration(record.seconds) for record in records)],
    ]
    title = "Results (* best)" if comparable else "Results"
    table.show(["result", *_labels(records)], rows, title=title, names=_shorter("result", records))


def _costs(records: Sequence[Record]) -> list[list[str]]:
    """Return the rows of what models cost; none unless a command has measured it for one of the runs."""
    sizes = [size or Size() for size in costs.sizes(records)]
    counts = {"not zero": [size.nonzero for size in sizes], "bytes": [size.bytes for size in sizes]}
    times = {
        "ms a row, batch of 1": [size.ms_1 for size in sizes],
        "ms a row, batch of 128": [size.ms_128 for size in sizes],
    }
    rows = [[label, *map(phrases.count, values)] for label, values in counts.items()]
    rows += [[label, *(table.number(value, 3) for value in values)] for label, values in times.items()]
    return rows if any(record.size for record in records) else []


def _metric(name: str, records: Sequence[Record], comparable: bool) -> list[str]:
    """Return a metric's row; the best of comparable values is marked, unless all are equal."""
    values = [record.metrics.get(name) for record in records]
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    best = (max if rises(name, records) else min)(numbers) if comparable and len(set(numbers)) > 1 else None
    marks = [" *" if best is not None and value == best else "" for value in values]
    return [name, *(phrases.number(value, DECIMALS) + mark for value, mark in zip(values, marks, strict=True))]


def _shorter(first: str, records: Sequence[Record]) -> list[list[str]]:
    """Return shorter headers, as `_labels` returns them after a first one."""
    return [[first, *names] for names in phrases.shorter_names(_labels(records))]


def _labels(records: Sequence[Record]) -> list[str]:
    return [record.name for record in records]
