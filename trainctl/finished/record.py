"""A run as a line of `trainctl runs` shows it: settings, outcome and metrics, as far as its files can be read.

:mod:`trainctl.store.records` reads single files of a run, and raises an error if one is damaged. Imports no torch.
"""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trainctl.errors import CheckpointError
from trainctl.run.metric_names import maximize, own_maximized
from trainctl.settings import naming, schema
from trainctl.settings.config import Tree
from trainctl.store import lock, records, rundir, runfile, runpath
from trainctl.store.records import BestValue, Facts, RunSummary, Sizes
from trainctl.store.runpath import RunPath

OUTCOMES = (
    "finished", "stopped", "interrupted", "terminated", "failed", "running", "unfinished", "unstarted", "damaged",
)  # fmt: skip


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
    size: Sizes | None = None  # of a run whose model was made of others
    trials: int | None = None  # of a sweep; None for a run
    maximized: frozenset[str] = frozenset()  # the user's own metrics of which larger values are better

    def member(self, group: str) -> str | None:
        """Return the name of the group's member that the run uses."""
        return _text(_tree(self.config.get(group)).get("name"))

    @property
    def data(self) -> str | None:
        """Return the name of the data set: that of its file, if it has one."""
        settings = _tree(self.config.get("dataset"))
        return naming.data(settings) if _text(settings.get("name")) else None

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the tags of the run."""
        found = _tree(self.config.get("output")).get("tags")
        return tuple(tag for tag in found if isinstance(tag, str)) if isinstance(found, list) else ()

    @property
    def lr(self) -> float | None:
        """Return the optimizer's learning rate."""
        return _number(_tree(self.config.get("optimizer")).get("lr"))


def read(path: Path, root: Path) -> Record:
    """Read a run's files; unreadable contents are not an error."""
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    config: Tree = {}
    summary, facts, damaged, without = RunSummary(), Facts(), True, "unfinished"
    with suppress(CheckpointError):
        held = runpath.hold(path)
        summary, facts = records.read_summary(held), records.read_facts(held)
        damaged = summary.outcome is None and bool(runpath.kind(held / "summary.json"))
        try:
            config = rundir.read_config(held)
        except CheckpointError:
            damaged, summary = True, replace(summary, outcome=None)
        monitor = _text(config.get("monitor")) or "val/loss"
        if summary.outcome is None:
            without = "unfinished" if _has_begun(held) else "unstarted"
            summary = _summary_so_far(held, replace(summary, monitor=summary.monitor or monitor), config)
    best = summary.best or BestValue()
    return Record(
        path=path,
        name=name,
        outcome=summary.outcome or ("damaged" if damaged else without),
        created=_created(path, facts),
        config=config,
        fingerprint=facts.data.fingerprint or None,
        steps=summary.steps,
        epochs=summary.epochs,
        seconds=summary.seconds,
        parameters=summary.parameters or facts.model.parameters,
        monitor=summary.monitor or None,
        best=best.value,
        metrics=summary.metrics,
        size=summary.size,
        maximized=own_maximized(config.get("metric")),
    )


def _has_begun(held: RunPath) -> bool:
    """Return whether a run has come to its first checkpoint or evaluation, or may do so because a process holds its lock."""
    with suppress(CheckpointError):
        if any(name.startswith("step-") for name in runfile.names(held / "checkpoints")):
            return True
    return bool(runpath.kind(held / "metrics.jsonl")) or lock.is_held_here(held)


def created(path: Path) -> float:
    """Return when a run started [seconds since 1970], or when its directory changed if `run.json` has no start time."""
    try:
        return _created(path, records.read_facts(path))
    except CheckpointError:
        return _created(path, Facts())


def _created(path: Path, facts: Facts) -> float:
    if facts.created_at is not None:
        return facts.created_at
    try:
        return min(max(path.stat().st_mtime, records.EARLIEST), records.LATEST)
    except OSError:
        return records.EARLIEST


def metric_columns(records: Iterable[Record]) -> list[str]:
    """Return the metrics that at least one run has: first the training split's, then validation, test and others."""
    order = {"train": 0, "val": 1, "test": 2}
    names = {name for record in records for name in record.metrics}
    return sorted(names, key=lambda name: (order.get(name.partition("/")[0], 3), name))


def rises(metric: str, records: Iterable[Record]) -> bool:
    """Return whether larger values of a metric are better, as one of the runs has it."""
    return maximize(metric, frozenset[str]().union(*(record.maximized for record in records)))


def _summary_so_far(directory: RunPath, summary: RunSummary, config: Tree) -> RunSummary:
    """Complete the summary of a run that has not written one, from its evaluations."""
    try:
        rows = rundir.read_metrics(directory)
    except CheckpointError:
        rows = []
    if not rows:
        return summary
    monitor, last = summary.monitor or "val/loss", rows[-1]
    measured = [row for row in rows if not math.isnan(row.get(monitor, math.nan))]
    larger = maximize(monitor, own_maximized(config.get("metric")))
    best = (max if larger else min)(measured, key=lambda row: row[monitor], default=last)
    return replace(
        summary,
        steps=last["step"],
        epochs=last.get("epoch"),
        seconds=last.get("seconds"),
        best=BestValue(value=best.get(monitor)),
        metrics={key: value for key, value in best.items() if "/" in key},
    )


def _tree(value: object) -> Tree:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and schema.fits(value, float) else None
