"""What the files of a sweep say about it, for commands that list and compare sweeps; nothing is written. No torch."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, TrainctlError
from trainctl.finished import record as runs
from trainctl.finished.record import Record
from trainctl.machine import memory
from trainctl.run.metric_names import maximize
from trainctl.settings.config import seconds
from trainctl.settings.space import ZIP, Words, key_of
from trainctl.settings.sweep import is_ours, load
from trainctl.store import journal, records, rundir, runpath
from trainctl.sweep.answer import Answer, is_done
from trainctl.sweep.ledger import Ledger
from trainctl.sweep.ranking import find_answer
from trainctl.sweep.sweep_json import require
from trainctl.sweep.trial import Trial
from trainctl.wording import shell_words

OUTCOMES = ("finished", "interrupted", "failed", "running", "elsewhere", "damaged")
SILENCE = 2.0  # leases without a sign of life after which a process of another machine counts as gone


class ElsewhereError(CheckpointError):
    """Raised for a sweep whose journal is in a database, which commands that list sweeps do not ask."""


@dataclass(frozen=True)
class Best:
    """The best point of a sweep.

    Args:
        trials: Its trials that were trained in full, the first seeds first.
        value: Their mean of the monitored metric.
    """

    trials: tuple[Trial, ...]
    value: float

    @property
    def metrics(self) -> dict[str, float]:
        """Return the mean of each metric."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.metrics)
        return {name: _mean([trial.metrics.get(name, math.nan) for trial in self.trials]) for name in names}


@dataclass(frozen=True)
class SweepRecord:
    """A sweep, as far as its files can be read.

    Args:
        path: Its directory.
        name: The directory, relative to the root.
        outcome: One of ``OUTCOMES``: finished if nothing is left to do, failed if no trial was trained; interrupted if
            `trainctl resume` continues it; elsewhere if its journal is in a database, which is not asked.
        created: When it was begun [s since 1970].
        monitor: The metric that its points are ranked by.
        monitors: Those of the Pareto front; empty with one.
        maximized: The user's own metrics of which larger values are better.
        fixed: The words of all its trials.
        points: The number of its points.
        trials: Its trials.
        trouble: Why it is damaged.
    """

    path: Path
    name: str
    outcome: str
    created: float
    monitor: str | None = None
    monitors: tuple[str, ...] = ()
    maximized: frozenset[str] = frozenset()
    fixed: Words = ()
    points: int = 0
    trials: tuple[Trial, ...] = field(default=(), repr=False)
    trouble: str = ""

    @property
    def answer(self) -> Answer:
        """Return its answer, finished or not."""
        return find_answer(self.trials, self.monitor or "val/loss", self.monitors, self.maximized)

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many trials have which status."""
        return Counter[str](trial.status for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Return the time that its trials have trained, all together [s]."""
        return math.fsum(trial.seconds for trial in self.trials)

    @property
    def best(self) -> Best | None:
        """Return the point with the best mean, of those with at least half as many trials as any; None without one."""
        points: dict[int, list[Trial]] = {}
        for trial in self.trials:
            if is_done(trial) and not trial.confirms:
                points.setdefault(trial.point, []).append(trial)
        if not points or self.monitor is None:
            return None
        most = max(map(len, points.values()))
        known = [
            Best(tuple(trials), _mean([trial.value for trial in trials if trial.value is not None]))
            for trials in points.values()
            if 2 * len(trials) >= most
        ]
        return (max if maximize(self.monitor, self.maximized) else min)(known, key=lambda each: each.value)


def read(path: Path, root: Path) -> SweepRecord:
    """Read a sweep's files; one that cannot be read is damaged, and its trouble says why."""
    try:
        return require_readable(path, root)
    except TrainctlError as error:  # ConfigError: of its settings
        name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        outcome = "elsewhere" if isinstance(error, ElsewhereError) else "damaged"
        return SweepRecord(path, name, outcome, created(path), trouble=str(error).partition("\n")[0])


def require_readable(path: Path, root: Path) -> SweepRecord:
    """Read a sweep's files.

    Raises:
        CheckpointError: If they are missing, damaged, or of another version.
        ConfigError: If its settings are not valid any more.
    """
    held = runpath.hold(path)
    content = require(held)
    monitor = content.get("monitor")
    if not isinstance(monitor, str) or "/" not in monitor:
        raise CheckpointError(f"{path / 'sweep.json'}: damaged: monitor is not a metric such as val/loss")
    maximized = content.get("maximize", [])  # of a version that did not write it, none
    if not (isinstance(maximized, list) and all(isinstance(name, str) for name in maximized)):
        raise CheckpointError(f"{path / 'sweep.json'}: damaged: maximize is not a list of metrics")
    if content.get("storage") is not None:
        raise ElsewhereError(
            f"{path}: its journal is in a database; to see its results:"
            f" {shell_words(['trainctl', 'resume', str(path)])} sweep.storage=URL, which also continues it; those so far"
            " are in results.csv"
        )
    settings = load([word for word in content["words"] if is_ours(word)])
    ledger = Ledger(held, journal.DirectoryJournal(held, seconds(settings.lease)), content["digits"])
    with memory.without_collections():
        ledger.update()
    complete = ledger.complete  # before trials of processes that are gone count as paused
    trials = _as_they_are(ledger, held, seconds(settings.lease), complete=complete)
    return SweepRecord(
        path=path,
        name=str(path.relative_to(root)) if path.is_relative_to(root) else str(path),
        outcome=_outcome(trials, complete=complete),
        created=_created(path, content),
        monitor=monitor,
        monitors=tuple(settings.monitors),
        maximized=frozenset(maximized),
        fixed=_fixed(content, ledger),
        points=len(ledger.points),
        trials=tuple(trials),
    )


def _as_they_are(ledger: Ledger, held: runpath.RunPath, lease: float, *, complete: bool) -> list[Trial]:
    """Return the trials: those of processes that are gone are paused, and in a complete sweep nothing waits any more."""
    now = time.time()
    for key in ledger.running():
        beat = runpath.status(held / "journal" / f"{ledger.journal.claimant(key, ledger.segments[key])}.beat")
        if key in ledger.dead or beat is None or now - beat.st_mtime > SILENCE * lease:  # only a guess is needed here
            ledger.trials[key].status = "paused"
    if complete:
        for trial in ledger.trials.values():
            if trial.status in ("paused", "waiting"):
                trial.status = "pruned"
    return list(ledger.trials.values())


def _outcome(trials: Sequence[Trial], *, complete: bool) -> str:
    if any(trial.status == "running" for trial in trials):
        return "running"
    if not complete:
        return "interrupted"
    return "failed" if trials and all(trial.status == "failed" for trial in trials) else "finished"


def _fixed(content: Mapping[str, Any], ledger: Ledger) -> Words:
    """Return the words of all trials: those about the runs whose key varies neither between points nor repetitions."""
    varying = {key_of(word) for words in (*ledger.points, *ledger.replicates) for word in words} | {"threads"}
    about_runs = [word for word in content["words"] if not is_ours(word) and not ZIP.fullmatch(word)]
    return (*(word for word in about_runs if key_of(word) not in varying), f"threads={content['threads']}")


def created(path: Path) -> float:
    """Return when a sweep was begun [s since 1970], or when its directory changed if `sweep.json` does not say so."""
    content: Mapping[str, Any] = {}
    with suppress(CheckpointError):
        content = rundir.read_json(path / "sweep.json")
    return _created(path, content)


def _created(path: Path, content: Mapping[str, Any]) -> float:
    with suppress(TypeError, ValueError, OverflowError, OSError):
        seconds = datetime.fromisoformat(content.get("created", "")).timestamp()
        if records.EARLIEST <= seconds <= records.LATEST:
            return seconds
    return runs.created(path)


def as_run(sweep: SweepRecord, root: Path) -> Record:
    """Return a sweep as one line of a list of runs: the settings of its best run, and the means of the best point."""
    best = sweep.best
    empty = Record(
        path=sweep.path, name=sweep.name, outcome=sweep.outcome, created=sweep.created, config={}, fingerprint=None,
        steps=None, epochs=None, seconds=sweep.seconds if sweep.trials else None, parameters=None,
        monitor=sweep.monitor, best=None, metrics={}, trials=len(sweep.trials), maximized=sweep.maximized,
    )  # fmt: skip
    if best is None:
        return empty
    first = best.trials[0]
    run = runs.read(first.directory, root)
    return replace(
        empty, config=run.config, fingerprint=run.fingerprint, steps=first.step, epochs=first.epoch,
        parameters=first.parameters or None, best=best.value, metrics=best.metrics,
    )  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
