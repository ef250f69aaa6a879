"""List runs and sweeps with their settings and results.

Usage: trainctl runs [root=DIR] [sort=KEY] [status=OUTCOME] [limit=N]
                     [tag=TAG] [name=TEXT] [SETTING=VALUE]
                     [trials=true] [format=FORMAT]

  root=DIR         directory of the runs; default: runs
  sort=KEY         time (newest first, the default), name, or a metric (best
                   first), e.g. val/accuracy or test/loss
  status=OUTCOME   show only runs that are finished, stopped (by a sweep),
                   interrupted, terminated, failed, running, unfinished (no
                   summary was written), unstarted (killed before the first
                   checkpoint, so that it cannot be resumed) or damaged (a
                   file cannot be read)
  limit=N          show only the first N runs
  tag=TAG          show only runs with this tag, see output.tags; with several,
                   tag=a,b, those that have them all
  name=TEXT        show only runs with this text in their name; * is any text
  SETTING=VALUE    show only runs with this setting: model=cnn, seed=1,
                   optimizer.lr=0.1,0.01 (any of these), dataset.path=*wine*
  trials=true      show the trials of sweeps instead of one line per sweep
  format=FORMAT    table, json or csv

"best" is the best value of the metric that the run monitors. A run without a
summary shows the results in its metrics.jsonl so far. A sweep has the settings
of its best run, the means of its best point, and the time of all its trials.
Narrow terminals hide some columns; piped output contains them all.

Examples:
  trainctl runs
  trainctl runs sort=val/accuracy limit=10
  trainctl runs model=cnn tag=baseline
  trainctl runs status=failed root=/data/runs trials=true
  trainctl runs format=json | jq '.[].metrics'
"""

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trainctl.command import arguments, option_values
from trainctl.errors import ConfigError
from trainctl.fileformat.place import is_directory
from trainctl.finished.filters import Filter, filters
from trainctl.finished.record import OUTCOMES, Record, created, metric_columns, read, rises
from trainctl.report import phrases, table
from trainctl.settings import component, config
from trainctl.settings.spelling import nearest
from trainctl.store import rundir
from trainctl.wording import did_you_mean

OPTIONS = {
    "root": "runs", "sort": "time", "status": "", "limit": "", "tag": "", "name": "", "trials": "false", "format": "table",
}  # fmt: skip
MOST_NOTES = 5
FORMATS = ("table", "json", "csv")


def main(argv: Sequence[str]) -> int:
    """Print the table; return the exit code.

    Raises:
        ConfigError: If an option is invalid, or no run has the metric to sort by.
    """
    parsed = arguments.parse(argv, OPTIONS, most_names=len(argv), overrides=True)
    if unknown := [word for word in parsed.overrides if not arguments.is_setting(word.partition("=")[0])]:
        key = unknown[0].partition("=")[0]
        names = [*OPTIONS, *component.GROUPS, *config.SECTIONS, *config.knobs()]
        hint = did_you_mean(key, names) or " (any setting selects the runs that have it, such as model=cnn)"
        raise ConfigError(f"{unknown[0]}: no such option or setting{hint} (options: {', '.join(OPTIONS)})")
    if parsed.names:
        raise ConfigError(f"{parsed.names[0]}: expected key=value{nearest(parsed.names[0], OPTIONS)}")
    options = parsed.options
    option_values.choice("format", options["format"], FORMATS)
    option_values.choice("trials", options["trials"], ("true", "false"))
    if options["status"]:
        option_values.choice("status", options["status"], OUTCOMES)
    root = Path(options["root"])
    if not is_directory(root) and any(argument.startswith("root=") for argument in argv):
        raise ConfigError(f"root={root}: no such directory")
    records = _select(root, options, filters(parsed.overrides, options["tag"], options["name"]))
    if options["format"] == "json":
        table.json([_as_json(record) for record in records])
    elif options["format"] == "csv":
        _csv(records)
    elif records:
        _table(records, options["sort"])
        _say_unstarted([record.path for record in records if record.outcome == "unstarted"])
    else:
        which = f" {options['status']}" if options["status"] else ""
        such = " with these settings" if parsed.overrides or options["tag"] or options["name"] else ""
        table.line(f"There are no{which} runs{such} in {root}.", stream=sys.stderr)
    return 0


def _select(root: Path, options: Mapping[str, str], wanted: Sequence[Filter]) -> list[Record]:
    """Return the records to print, in order; read only as many runs as the options require."""
    limit, sort = option_values.integer("limit", options["limit"], 1) if options["limit"] else None, options["sort"]
    troubles: list[str] = []
    trials = options["trials"] == "true"
    found = [(created(path), path, False) for path in rundir.all_runs(root, troubles, trials=trials)]
    if not trials and (sweeps := list(rundir.all_sweeps(root, troubles))):
        from trainctl.sweep import record  # imports Hydra, which takes 0.1 s

        found += [(record.created(path), path, True) for path in sweeps]
    for trouble in dict.fromkeys(troubles):
        table.line(f"trainctl: note: {trouble}", stream=sys.stderr)
    found.sort(key=lambda each: (each[0], each[1].name), reverse=True)
    if sort == "time" and not options["status"] and not wanted:
        found = found[:limit]
    records = [_of_sweep(path, root) if is_sweep else read(path, root) for _, path, is_sweep in found]
    records = [record for record in records if options["status"] in ("", record.outcome)]
    records = [record for record in records if all(meets(record) for meets in wanted)]
    if sort == "name":
        records.sort(key=lambda record: record.name)
    elif sort != "time" and records:
        records = _ranked(records, sort)
    return records[:limit]


def _of_sweep(path: Path, root: Path) -> Record:
    """Return a sweep as one record."""
    from trainctl.sweep import record

    return record.as_run(record.read(path, root), root)


def _ranked(records: Sequence[Record], metric: str) -> list[Record]:
    """Sort by a metric, best first; runs without it, or with NaN, come last."""
    option_values.choice("sort", metric, ["time", "name", *metric_columns(records)])
    sign = -1 if rises(metric, records) else 1

    def rank(record: Record) -> tuple[bool, float]:
        value = record.metrics.get(metric, math.nan)
        return (True, 0.0) if math.isnan(value) else (False, sign * value)

    return sorted(records, key=rank)


def _table(records: Sequence[Record], sort: str) -> None:
    shown = [name for name in metric_columns(records) if name.startswith("test/") or name == sort]
    rows = [
        {
            "run": record.name,
            "outcome": record.outcome,
            "trials": phrases.count(record.trials),
            "tags": ",".join(record.tags),
            "dataset": record.data or "-",
            "model": record.member("model") or "-",
            "optimizer": record.member("optimizer") or "-",
            "lr": phrases.setting(record.lr),
            "epochs": phrases.epochs(record.epochs),
            "best": "-" if record.best is None else f"{record.monitor} {phrases.number(record.best)}",
            **{name: phrases.number(record.metrics.get(name)) for name in shown},
            "time": phrases.duration(record.seconds),
        }
        for record in records
    ]
    absent = [header for header in ("trials", "tags") if all(row[header] in ("", "-") for row in rows)]
    rows = [{header: cell for header, cell in row.items() if header not in absent} for row in rows]
    headers = list(rows[0])
    names = [name for name in reversed(shown) if name != sort]
    losses = [name for name in names if not rises(name, records)]
    hidden = [*losses, *(name for name in names if name not in losses)]  # errors first, accuracy last
    optional = (
        *losses,
        "optimizer",
        "model",
        "time",
        "lr",
        "dataset",
        "epochs",
        "tags",
        *hidden[len(losses) :],
        "trials",
        "best",
    )
    table.show(
        headers,
        [list(row.values()) for row in rows],
        right=("trials", "lr", "epochs", "time", *shown),
        optional=[name for name in optional if name in headers],
        shorter={"run": phrases.shorter_names([record.name for record in records])},
    )


def _say_unstarted(paths: Sequence[Path]) -> None:
    """Print the commands that start runs again which were killed before their first checkpoint."""
    for path in paths[:MOST_NOTES]:
        is_trial = (path.parent / "sweep.json").exists()
        again = ["resume", phrases.pasteable(path.parent)] if is_trial else [phrases.pasteable(path / "config.yaml")]
        table.line(
            f"trainctl: note: {path.name} was killed before its first checkpoint, so it cannot be resumed; to start it again:"
            f" {' '.join(['trainctl', *again])}",
            stream=sys.stderr,
        )
    if len(paths) > MOST_NOTES:
        more = len(paths) - MOST_NOTES
        table.line(f"trainctl: note: so were {more} more: trainctl runs status=unstarted", stream=sys.stderr)


def _as_json(record: Record) -> dict[str, Any]:
    """Convert a record to JSON values; infinite and NaN become null, because JSON has neither."""
    return {
        "run": record.name,
        "path": str(record.path),
        "outcome": record.outcome,
        "created": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds"),
        "tags": list(record.tags),
        **{group: record.member(group) for group in ("dataset", "model", "optimizer")},
        "lr": _finite(record.lr),
        "steps": record.steps,
        "epochs": _finite(record.epochs),
        "seconds": _finite(record.seconds),
        "parameters": record.parameters,
        "trials": record.trials,
        "monitor": record.monitor,
        "best": _finite(record.best),
        "metrics": {name: _finite(value) for name, value in record.metrics.items()},
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _csv(records: Sequence[Record]) -> None:
    """Print the records as CSV; each metric is a column."""
    names = metric_columns(records)
    rows: list[list[object]] = []
    for index, record in enumerate(records):
        row = {key: value for key, value in _as_json(record).items() if key != "metrics"}
        row["tags"] = " ".join(record.tags)
        if index == 0:
            rows.append([*row, *names])
        rows.append([*row.values(), *map(record.metrics.get, names)])
    table.text(table.csv(rows))
