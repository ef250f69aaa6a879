"""Train a sweep: each point is a separate run; all are trained in this process, one after the other."""

import csv
import gc
import io
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainctl.errors import Interrupted, SweepError, Terminated, TrainctlError
from trainctl.report import phrases, reporters, table
from trainctl.settings import config
from trainctl.settings.config import Config
from trainctl.store import rundir
from trainctl.train import session


@dataclass
class Trial:
    """One point of a sweep, and its result.

    Args:
        overrides: The overrides in which it differs from the other points.
        directory: The run's directory.
        outcome: ``waiting``, or the outcome of the run: ``finished``, ``stopped``, ``failed`` or ``interrupted``.
        summary: The content of `summary.json`; empty before the run has ended.
        error: The error message, in one line; empty without an error.
    """

    overrides: list[str]
    directory: Path
    outcome: str = "waiting"
    summary: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def sweep(points: Sequence[tuple[list[str], Config]], overrides: Sequence[str]) -> int:
    """Train all points, which must have been checked; return the exit code.

    A failed trial is reported at once, and the sweep continues with the next one; Ctrl-C ends the sweep.

    Raises:
        SweepError: At the end, if a trial failed.
        Interrupted: If a signal ended the sweep, or all trials stopped at loop.stop_at_step.
    """
    settings = [each for _, each in points]
    home = rundir.create(settings[0].output.root, "sweep")
    digits = len(str(len(points) - 1))
    trials = [
        Trial(swept, home / f"{number:0{digits}d}-{config.slug(','.join(swept) or 'run')}")
        for number, (swept, _) in enumerate(points)
    ]
    rundir.write_json(
        home / "sweep.json",
        {
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": shlex.join(["trainctl", "-m", *overrides]),
            "points": [trial.overrides for trial in trials],
        },
    )
    fixed = [
        word
        for word in overrides
        if not any(word.partition("=")[0] == swept.partition("=")[0] for swept in points[0][0])
    ]
    try:
        for number, (trial, setting) in enumerate(zip(trials, settings, strict=True), 1):
            table.line(f"trial {number}/{len(trials)}: {' '.join(trial.overrides) or 'no override'}", style="bold")
            try:
                attempt(trial, setting, fixed)
            finally:
                rundir.write(home / "results.csv", as_csv(trials))
    finally:
        gc.collect()
        show(trials, home, settings[0].monitor)
    if all(trial.outcome == "interrupted" for trial in trials):
        raise Interrupted(
            f"all {len(trials)} trials stopped at loop.stop_at_step; resume each with trainctl resume DIR"
        )
    if failed := [trial for trial in trials if trial.outcome == "failed"]:
        raise SweepError(f"{len(failed)} of {len(trials)} trials failed; see {home / 'results.csv'}")
    return 0


def attempt(trial: Trial, setting: config.Config, fixed: Sequence[str]) -> None:
    """Train one trial and record its outcome.

    Raises:
        Interrupted, Terminated, KeyboardInterrupt: If a signal ends the sweep.
    """
    try:
        words = [*fixed, *trial.overrides]
        trial.summary = session.begin(setting, words, trial.directory, reporters=reporters.on_terminal)
        trial.outcome = trial.summary["outcome"]
    except Interrupted as error:
        trial.outcome = "interrupted"
        if not error.planned:
            raise
    except (Terminated, KeyboardInterrupt):
        trial.outcome = "interrupted"
        raise
    except TrainctlError as error:
        trial.outcome, trial.error = "failed", " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - a bug in one trial must not end the others
        traceback.print_exc()
        trial.outcome, trial.error = "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"
    if trial.error:
        table.line(f"trainctl: trial failed: {' '.join(trial.overrides)}: {trial.error}", stream=sys.stderr)


def result_columns(trials: Sequence[Trial]) -> list[str]:
    """Return the names of the validation and test metrics that any trial has, in order."""
    return list(
        dict.fromkeys(
            name for trial in trials for name in trial.summary.get("metrics", {}) if not name.startswith("train/")
        )
    )


def rows(trials: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of results, with all digits of numbers."""
    swept = list(dict.fromkeys(word.partition("=")[0] for trial in trials for word in trial.overrides))
    names = result_columns(trials)
    body = []
    for number, trial in enumerate(trials):
        values = dict(word.split("=", 1) for word in trial.overrides)
        metrics = trial.summary.get("metrics", {})
        body.append(
            [
                str(number),
                *(values.get(key, "") for key in swept),
                *(repr(metrics[name]) if name in metrics else "" for name in names),
                trial.outcome,
            ]
        )
    return ["trial", *swept, *names, "outcome"], body


def as_csv(trials: Sequence[Trial]) -> str:
    """Return the results as CSV, with each trial's error and directory."""
    text = io.StringIO()
    header, body = rows(trials)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*header, "error", "directory"])
    for row, trial in zip(body, trials, strict=True):
        writer.writerow(map(table.harmless, [*row, trial.error, trial.directory.name]))
    return text.getvalue()


def show(trials: Sequence[Trial], home: Path, monitor: str) -> None:
    """Print the table of results, in which the best trial is marked, and the directories."""
    from trainctl.run.metric_names import maximize

    header, body = rows(trials)
    values = [
        (trial.summary["best"]["value"], index) for index, trial in enumerate(trials) if trial.summary.get("best")
    ]
    best = (max if maximize(monitor) else min)(values)[1] if values else None
    numeric = set(result_columns(trials))
    shown = [
        [
            phrases.number(float(cell)) if name in numeric and cell else cell
            for name, cell in zip(header, row, strict=True)
        ]
        for row in body
    ]
    for index, row in enumerate(shown):
        row[0] += " *" if index == best else ""
    table.line()
    table.show(header, shown, title=f"{len(trials)} trials (* best {monitor})", right=numeric)
    table.line(f"results:  {home}")
    if best is not None:
        table.line(f"best run: {trials[best].directory}")
