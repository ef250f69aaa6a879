"""`results.csv` of a sweep: one line for each trial, with everything that a notebook needs. Imports no torch."""

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path

from trainctl.report import table
from trainctl.settings.space import SEEDS
from trainctl.store import rundir, runpath
from trainctl.store.runpath import AnyPath, RunPath
from trainctl.sweep.importance import words_by_key
from trainctl.sweep.ranking import seeds_of
from trainctl.sweep.trial import Trial


def write_csv(trials: Sequence[Trial], monitor: str, home: AnyPath) -> RunPath:
    """Write `results.csv`, one line for each trial; return its path.

    Raises:
        StorageError: If it cannot be written.
    """
    held = runpath.hold(home)
    path = held / "results.csv"
    rundir.write(path, as_csv(trials, monitor, held.path))
    return path


def as_csv(trials: Sequence[Trial], monitor: str, home: Path) -> str:
    """Return the results as CSV: everything that is known of each trial, numbers in full.

    The columns are ``trial``, ``point``, each key that is swept, ``seed`` and ``split.seed`` if they vary, ``confirms``,
    ``status``, ``reason``, ``monitor``, ``value``, a column for each monitor and metric (those of the best step), a
    column ``rung_N`` for each rung, ``step``, ``epoch``, ``seconds``, ``parameters``, ``attempts``, ``directory`` and
    ``log``. Paths are relative to the sweep's directory: that in ``place``, a column that exists if machines have
    directories of their own, or this one if that is empty. An empty cell: there is no such value.
    """
    prefix = os.path.join(home, "")  # noqa: PTH118 - with a slash at its end
    rows = [_csv_row(number, trial, monitor, prefix) for number, trial in enumerate(trials)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = _csv_columns(trials)
    writer.writerow([table.harmless(table.printable(name)) for name in columns])
    for row in rows:
        writer.writerow([_csv_cell(row.get(name)) for name in columns])
    return text.getvalue()


def _csv_columns(trials: Sequence[Trial]) -> list[str]:
    keys = dict.fromkeys(key for trial in trials for key in words_by_key(trial.words))
    seeds = [name for index, name in enumerate(SEEDS) if any(seeds_of(trial)[index] for trial in trials)]
    metrics = dict.fromkeys(name for trial in trials for name in (*trial.values, *trial.metrics))
    rungs = sorted({epochs for trial in trials for epochs in trial.rungs})
    places = ["place"] if any(trial.place for trial in trials) else []
    return [
        "trial", "point", *keys, *seeds, "confirms", "status", "reason", "monitor", "value", *metrics,
        *(f"rung_{epochs}" for epochs in rungs), "step", "epoch", "seconds", "parameters", "attempts", *places,
        "directory", "log",
    ]  # fmt: skip


def _csv_row(number: int, trial: Trial, monitor: str, home: str) -> dict[str, object]:
    seeds = {name: seed for name, seed in zip(SEEDS, seeds_of(trial), strict=True) if seed}
    return {
        "trial": number, "point": trial.point, **words_by_key(trial.words), **seeds,
        "confirms": str(trial.confirms).lower(), "status": trial.status, "reason": " ".join(trial.reason.split()),
        "monitor": monitor, "value": trial.value, **trial.values, **trial.metrics,
        **{f"rung_{epochs}": value for epochs, value in trial.rungs.items()},
        "step": trial.step, "epoch": trial.epoch, "seconds": trial.seconds, "parameters": trial.parameters,
        "attempts": trial.attempts, "place": trial.place, "directory": _relative(trial.directory, home), "log": _relative(trial.log, home),
    }  # fmt: skip


def _relative(path: Path | None, home: str) -> str:
    """Return a path below a directory relative to it; without pathlib, as there may be 10,000."""
    return "" if path is None else str(path).removeprefix(home)


def _csv_cell(value: object) -> object:
    """Return a cell: a number in full, and a text that controls neither a terminal nor a spreadsheet."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return table.harmless(table.printable(value)) if isinstance(value, str) else value
