"""Read the settings, outcome and metrics of a run from its files. Imports no torch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError
from trainctl.run.metric_names import maximize
from trainctl.settings.config import Tree
from trainctl.store import rundir

OUTCOMES = ("finished", "stopped", "interrupted", "terminated", "failed", "running", "unfinished", "damaged")


@dataclass(frozen=True)
class Record:
    """The contents of a run's files, as far as they can be read; a value that is missing or of a wrong type is None."""

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
    best: float | None  # best value of the monitored metric
    metrics: Mapping[str, float]

    def member(self, group: str) -> str | None:
        """Return the name of the group's member that the run uses."""
        return _text(_tree(self.config.get(group)).get("name"))

    @property
    def lr(self) -> float | None:
        """Return the optimizer's learning rate."""
        return _number(_tree(self.config.get("optimizer")).get("lr"))


def read(path: Path, root: Path) -> Record:
    """Read a run's files; unreadable contents are not an error."""
    summary, facts = rundir.read_json(path / "summary.json"), rundir.read_json(path / "run.json")
    outcome = _text(summary.get("outcome")) or ("damaged" if (path / "summary.json").exists() else "unfinished")
    try:
        config = rundir.read_config(path)
    except (CheckpointError, ValueError):  # ValueError: e.g. from the date 2024-99-99
        config, outcome = {}, "damaged"
    summary = summary or _summary_so_far(path, _text(config.get("monitor")) or "val/loss")
    return Record(
        path=path,
        name=str(path.relative_to(root)) if path.is_relative_to(root) else str(path),
        outcome=outcome,
        created=created(path),
        config=config,
        fingerprint=_text(_tree(facts.get("data")).get("fingerprint")),
        steps=_integer(summary.get("steps")),
        epochs=_number(summary.get("epochs")),
        seconds=_number(summary.get("seconds")),
        parameters=_integer(summary.get("parameters") or _tree(facts.get("model")).get("parameters")),
        monitor=_text(summary.get("monitor")) or _text(config.get("monitor")),
        best=_number(_tree(summary.get("best")).get("value")),
        metrics=_metrics(_tree(summary.get("metrics"))),
    )


def created(path: Path) -> float:
    """Return when a run started [seconds since 1970], or when its directory changed if `run.json` has no start time."""
    try:
        return datetime.fromisoformat(str(rundir.read_json(path / "run.json").get("created"))).timestamp()
    except (ValueError, OverflowError, OSError):
        return path.stat().st_mtime


def metric_columns(records: Iterable[Record]) -> list[str]:
    """Return the metrics that at least one run has: first the training split's, then validation, test and others."""
    order = {"train": 0, "val": 1, "test": 2}
    names = {name for record in records for name in record.metrics}
    return sorted(names, key=lambda name: (order.get(name.partition("/")[0], 3), name))


def _summary_so_far(path: Path, monitor: str) -> dict[str, Any]:
    """Build the summary of a run that has not written one, from its evaluations."""
    rows = rundir.read_metrics(path)
    if not rows:
        return {}
    last = rows[-1]
    measured = [row for row in rows if (value := _number(row.get(monitor))) is not None and not math.isnan(value)]
    best = (max if maximize(monitor) else min)(measured, key=lambda row: row[monitor], default=last)
    return {
        "steps": last.get("step"),
        "epochs": last.get("epoch"),
        "seconds": last.get("seconds"),
        "best": {"value": best.get(monitor)},
        "metrics": {key: value for key, value in best.items() if "/" in key},
    }


def _metrics(tree: Tree) -> dict[str, float]:
    """Return the metrics that are numbers; null stands for infinite or NaN, and is returned as NaN."""
    values = {key: math.nan if value is None else _number(value) for key, value in tree.items()}
    return {key: value for key, value in values.items() if value is not None}


def _tree(value: object) -> Tree:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
