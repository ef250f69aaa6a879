"""List runs, trials of sweeps too, with their settings and results.

Usage: trainctl runs [root=DIR] [sort=KEY] [status=OUTCOME] [limit=N]
                     [format=FORMAT]

  root=DIR         where the runs are; runs by default
  sort=KEY         time: newest first, the default; name; or a metric, best
                   first: val/accuracy, test/loss, ...
  status=OUTCOME   only runs that are finished, stopped (by a sweep),
                   interrupted, terminated, failed, running, unfinished (no
                   summary was written) or damaged (a file cannot be read)
  limit=N          only the first N
  format=FORMAT    table, json or csv

"best" is the best value of the metric that the run monitors. A run without a
summary shows what its metrics.jsonl holds so far. On a terminal that is too
narrow, columns are left out; in a pipe the table is always whole.

Examples:
  trainctl runs
  trainctl runs sort=val/accuracy limit=10
  trainctl runs status=failed root=/data/runs
  trainctl runs format=json | jq '.[].metrics'
"""

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trainctl.command import arguments as words
from trainctl.errors import CheckpointError, ConfigError
from trainctl.report import table
from trainctl.run.metric_names import maximize
from trainctl.settings.config import Tree
from trainctl.settings.spelling import nearest
from trainctl.store import rundir

OPTIONS = {"root": "runs", "sort": "time", "status": "", "limit": "", "format": "table"}
OUTCOMES = ("finished", "stopped", "interrupted", "terminated", "failed", "running", "unfinished", "damaged")
FORMATS = ("table", "json", "csv")


@dataclass(frozen=True)
class Record:
    """What a run's files say, as far as they can be read; a value that is missing or of a wrong type is None."""

    path: Path
    name: str  # relative to the root
    outcome: str  # one of OUTCOMES
    created: float  # seconds since 1970
    config: Tree
    fingerprint: str | None  # of the data
    steps: int | None
    epochs: float | None
    seconds: float | None
    parameters: int | None
    monitor: str | None
    best: float | None  # of the monitored metric
    metrics: Mapping[str, float]

    def member(self, group: str) -> str | None:
        """Return the name of the chosen member of a group."""
        return _text(_tree(self.config.get(group)).get("name"))

    @property
    def lr(self) -> float | None:
        """The optimizer's learning rate."""
        return _number(_tree(self.config.get("optimizer")).get("lr"))


def main(arguments: Sequence[str]) -> int:
    """Print the table; return the exit code.

    Raises:
        ConfigError: If an option is wrong, or no run has the metric to sort by.
    """
    given = words.read(arguments, OPTIONS, most_names=len(arguments))
    if given.names:
        raise ConfigError(f"{given.names[0]}: expected key=value{nearest(given.names[0], OPTIONS)}")
    options = given.options
    choose("format", options["format"], FORMATS)
    if options["status"]:
        choose("status", options["status"], OUTCOMES)
    root = Path(options["root"])
    if not root.is_dir() and any(word.startswith("root=") for word in arguments):
        raise ConfigError(f"root={root}: no such directory")
    records = _select(root, options)
    if options["format"] == "json":
        print(json.dumps([_plain(record) for record in records], indent=2, ensure_ascii=False))
    elif options["format"] == "csv":
        _csv(records)
    elif records:
        _table(records, options["sort"])
    else:
        table.line(f"There is no {options['status']} run in {root}.".replace("  ", " "), stream=sys.stderr)
    return 0


def choose(key: str, value: str, allowed: Iterable[str]) -> None:
    """Check the value of an option.

    Raises:
        ConfigError: If it is not one of the allowed ones.
    """
    allowed = list(allowed)
    if value not in allowed:
        raise ConfigError(f"{key}={value}: no such {key}{nearest(value, allowed)}")


def read(path: Path, root: Path) -> Record:
    """Read a run's files; never fails because of what they hold."""
    summary, facts = rundir.read_json(path / "summary.json"), rundir.read_json(path / "run.json")
    outcome = _text(summary.get("outcome")) or ("damaged" if (path / "summary.json").exists() else "unfinished")
    try:
        config = rundir.read_config(path)
    except (CheckpointError, ValueError):  # a value such as the date 2024-99-99 is the latter
        config, outcome = {}, "damaged"
    summary = summary or _so_far(path, _text(config.get("monitor")) or "val/loss")
    return Record(
        path=path,
        name=str(path.relative_to(root)) if path.is_relative_to(root) else str(path),
        outcome=outcome,
        created=created(path),
        config=config,
        fingerprint=_text(_tree(facts.get("data")).get("fingerprint")),
        steps=_whole(summary.get("steps")),
        epochs=_number(summary.get("epochs")),
        seconds=_number(summary.get("seconds")),
        parameters=_whole(summary.get("parameters") or _tree(facts.get("model")).get("parameters")),
        monitor=_text(summary.get("monitor")) or _text(config.get("monitor")),
        best=_number(_tree(summary.get("best")).get("value")),
        metrics=_metrics(_tree(summary.get("metrics"))),
    )


def created(path: Path) -> float:
    """Return when a run began [seconds since 1970]; if its `run.json` does not tell, when its directory changed."""
    try:
        return datetime.fromisoformat(str(rundir.read_json(path / "run.json").get("created"))).timestamp()
    except (ValueError, OverflowError, OSError):
        return path.stat().st_mtime


def _so_far(path: Path, monitor: str) -> dict[str, Any]:
    """Return what a summary would say of a run that has written none."""
    rows = rundir.read_metrics(path)
    if not rows:
        return {}
    last = rows[-1]
    known = [row for row in rows if (value := _number(row.get(monitor))) is not None and not math.isnan(value)]
    best = (max if maximize(monitor) else min)(known, key=lambda row: row[monitor], default=last)
    return {
        "steps": last.get("step"),
        "epochs": last.get("epoch"),
        "seconds": last.get("seconds"),
        "best": {"value": best.get(monitor)},
        "metrics": {key: value for key, value in best.items() if "/" in key},
    }


def _metrics(given: Tree) -> dict[str, float]:
    """Return the numbers; null stands for one that is not finite."""
    found = {key: math.nan if value is None else _number(value) for key, value in given.items()}
    return {key: value for key, value in found.items() if value is not None}


def _tree(value: object) -> Tree:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _select(root: Path, options: Mapping[str, str]) -> list[Record]:
    """Return the records to print, in order; only as many runs are read as the options need."""
    limit, sort = _limit(options["limit"]), options["sort"]
    paths = sorted(rundir.all_runs(root), key=lambda path: (created(path), path.name), reverse=True)
    if sort == "time" and not options["status"]:
        paths = paths[:limit]
    records = [read(path, root) for path in paths]
    records = [record for record in records if options["status"] in ("", record.outcome)]
    if sort == "name":
        records.sort(key=lambda record: record.name)
    elif sort != "time" and records:
        records = _ranked(records, sort)
    return records[:limit]


def _limit(text: str) -> int | None:
    if text and not (text.isdecimal() and int(text) > 0):
        raise ConfigError(f"limit={text}: expected a whole number in [1, inf)")
    return int(text) if text else None


def _ranked(records: Sequence[Record], metric: str) -> list[Record]:
    """Sort by a metric, best first; runs without it, or with one that is not a number, come last."""
    choose("sort", metric, ["time", "name", *metric_names(records)])
    sign = -1 if maximize(metric) else 1

    def rank(record: Record) -> tuple[bool, float]:
        value = record.metrics.get(metric, math.nan)
        return (True, 0.0) if math.isnan(value) else (False, sign * value)

    return sorted(records, key=rank)


def metric_names(records: Iterable[Record]) -> list[str]:
    """Return every metric that a run has: of the training split first, then validation, test and the rest."""
    order = {"train": 0, "val": 1, "test": 2}
    found = {name for record in records for name in record.metrics}
    return sorted(found, key=lambda name: (order.get(name.partition("/")[0], 3), name))


def _table(records: Sequence[Record], sort: str) -> None:
    shown = [name for name in metric_names(records) if name.startswith("test/") or name == sort]
    rows = [
        {
            "run": record.name,
            "outcome": record.outcome,
            "dataset": record.member("dataset") or "-",
            "model": record.member("model") or "-",
            "optimizer": record.member("optimizer") or "-",
            "lr": table.number(record.lr),
            "epochs": table.number(record.epochs),
            "best": "-" if record.best is None else f"{record.monitor} {table.number(record.best)}",
            **{name: table.number(record.metrics.get(name)) for name in shown},
            "time": table.duration(record.seconds),
        }
        for record in records
    ]
    headers = list(rows[0])
    spare = sorted((name for name in reversed(shown) if name != sort), key=maximize)  # errors first, accuracy last
    losses = [name for name in spare if not maximize(name)]
    table.show(
        headers,
        [list(row.values()) for row in rows],
        right=("lr", "epochs", "time", *shown),
        optional=(*losses, "optimizer", "model", "time", "lr", "dataset", "epochs", *spare[len(losses) :], "best"),
    )


def _plain(record: Record) -> dict[str, Any]:
    """Return a record for JSON, which knows no number that is not finite."""
    return {
        "run": record.name,
        "path": str(record.path),
        "outcome": record.outcome,
        "created": datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds"),
        **{group: record.member(group) for group in ("dataset", "model", "optimizer")},
        "lr": _finite(record.lr),
        "steps": record.steps,
        "epochs": _finite(record.epochs),
        "seconds": _finite(record.seconds),
        "parameters": record.parameters,
        "monitor": record.monitor,
        "best": _finite(record.best),
        "metrics": {name: _finite(value) for name, value in record.metrics.items()},
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _csv(records: Sequence[Record]) -> None:
    """Print comma-separated values; each metric is a column."""
    names = metric_names(records)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for index, record in enumerate(records):
        row = {key: value for key, value in _plain(record).items() if key != "metrics"}
        if index == 0:
            writer.writerow(map(table.harmless, (*row, *names)))
        writer.writerow(map(table.harmless, (*row.values(), *map(record.metrics.get, names))))
