"""List sweeps: how far each one is, and its best value.

Usage: trainctl sweeps [root=DIR] [sort=KEY] [status=OUTCOME] [limit=N]
                       [format=FORMAT]

  root=DIR         directory of the sweeps; default: runs
  sort=KEY         time (newest first, the default) or name
  status=OUTCOME   show only sweeps that are running, finished (nothing is
                   left to do), interrupted (trainctl resume SWEEP continues
                   them), failed (no trial was trained) or damaged (a file
                   cannot be read)
  limit=N          show only the first N sweeps
  format=FORMAT    table, json or csv

"best" is the mean of the best point over its seeds. Of the trials, those that
are over are finished, stopped, pruned or failed; the others are paused,
running or waiting.

Examples:
  trainctl sweeps
  trainctl sweeps status=interrupted
  trainctl compare SWEEP          the ranked table of a sweep
  trainctl runs trials=true       the trials of all sweeps
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trainctl.command import arguments, option_values
from trainctl.report import phrases, table
from trainctl.store import rundir
from trainctl.sweep.record import OUTCOMES, SweepRecord, created, read

OPTIONS = {"root": "runs", "sort": "time", "status": "", "limit": "", "format": "table"}
STATES = ("finished", "stopped", "pruned", "failed", "paused", "running", "waiting")


def main(argv: Sequence[str]) -> int:
    """Print the table; return the exit code.

    Raises:
        ConfigError: If an option is invalid.
    """
    options = arguments.of_list(argv, OPTIONS, "; for one sweep: trainctl compare SWEEP")
    for key, allowed in (("format", ("table", "json", "csv")), ("sort", ("time", "name"))):
        option_values.choice(key, options[key], allowed)
    if options["status"]:
        option_values.choice("status", options["status"], OUTCOMES)
    root = Path(options["root"])
    sweeps = _select(root, options)
    if options["format"] == "json":
        table.json([_as_json(sweep) for sweep in sweeps])
    elif options["format"] == "csv":
        _csv(sweeps)
    elif sweeps:
        _table(sweeps)
    else:
        table.line(f"There are no {options['status']} sweeps in {root}.".replace("  ", " "), stream=sys.stderr)
    return 0


def _select(root: Path, options: Mapping[str, str]) -> list[SweepRecord]:
    """Return the sweeps to print, in order; read only as many as the options require."""
    limit = option_values.integer("limit", options["limit"], 1) if options["limit"] else None
    troubles: list[str] = []
    paths = list(rundir.all_sweeps(root, troubles))  # sorted by name
    for trouble in troubles:
        table.line(f"trainctl: note: {trouble}", stream=sys.stderr)
    if options["sort"] == "time":
        paths.sort(key=lambda path: (created(path), path.name), reverse=True)
    if not options["status"]:
        paths = paths[:limit]
    sweeps = [sweep for sweep in (read(path, root) for path in paths) if options["status"] in ("", sweep.outcome)]
    for sweep in sweeps[:limit]:
        if sweep.trouble:
            table.line(f"trainctl: note: {sweep.trouble}", stream=sys.stderr)
    return sweeps[:limit]


def _table(sweeps: Sequence[SweepRecord]) -> None:
    now = time.time()
    counts = [sweep.counts for sweep in sweeps]
    shown = [state for state in STATES if any(each[state] for each in counts)]
    rows = []
    for sweep, count in zip(sweeps, counts, strict=True):
        best = sweep.best
        rows.append(
            [
                sweep.name,
                sweep.outcome,
                *(phrases.count(count[state]) for state in shown),
                phrases.count(len(sweep.trials)),
                "-" if best is None else f"{sweep.monitor} {phrases.number(best.value)}",
                phrases.duration(max(0.0, now - sweep.created)),
            ]
        )
    headers = ["sweep", "outcome", *shown, "of", "best", "age"]
    optional = [state for state in ("stopped", "pruned", "waiting", "paused", "running") if state in shown]
    table.show(headers, rows, right=(*shown, "of", "age"), optional=(*optional, "age"))


def _as_json(sweep: SweepRecord) -> dict[str, Any]:
    best, counts = sweep.best, sweep.counts
    return {
        "sweep": sweep.name,
        "path": str(sweep.path),
        "outcome": sweep.outcome,
        "created": datetime.fromtimestamp(sweep.created).astimezone().isoformat(timespec="seconds"),
        "points": sweep.points,
        "trials": len(sweep.trials),
        **{state: counts[state] for state in STATES},
        "seconds": sweep.seconds,
        "monitor": sweep.monitor,
        "best": best.value if best is not None and math.isfinite(best.value) else None,
        "best_seeds": len(best.trials) if best is not None else None,
        "best_settings": " ".join(best.trials[0].words) if best is not None else None,
        "best_run": str(best.trials[0].directory) if best is not None else None,
    }


def _csv(sweeps: Sequence[SweepRecord]) -> None:
    rows = [_as_json(sweep) for sweep in sweeps]
    if rows:
        table.text(table.csv([list(rows[0]), *(row.values() for row in rows)]))
