"""Sweeps for `trainctl compare`: the ranked table of one, and the best points of several. Imports no torch."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError
from trainctl.machine import memory
from trainctl.report import phrases, table
from trainctl.sweep import plain, results
from trainctl.sweep.ranked_table import plus_minus
from trainctl.sweep.record import require_readable


@memory.without_collections()  # there may be 10,000 points
def show(path: Path, root: Path, form: str) -> None:
    """Print the ranked points of a sweep as its journal has them now.

    Args:
        path: Its directory.
        root: The directory that its name is relative to.
        form: ``table``, ``json`` or ``csv``.

    Raises:
        CheckpointError: If it cannot be read.
    """
    sweep = require_readable(path, root)
    answer = sweep.answer
    if form == "json":
        table.json(plain.as_json(answer, sweep.name))
    elif form == "csv":
        table.text(table.csv(plain.as_table(answer)))
    else:
        if sweep.outcome == "running":
            table.line("The sweep is running; these are its results so far.")
        elif sweep.outcome == "interrupted":
            table.line(f"The sweep is not complete; continue it with: trainctl resume {phrases.pasteable(path)}")
        results.show(answer, path, sweep.fixed)


def best_points(path: Path, root: Path) -> dict[Path, dict[str, Any]]:
    """Return the best point of a sweep, one for each data set, by the directory of its first run.

    Raises:
        CheckpointError: If it cannot be read, or has no best point yet.
    """
    sweep = require_readable(path, root)
    points = {}
    for ranking in sweep.answer.rankings:
        if (best := ranking.best) is not None:
            points[plain.first_run(best.trials).directory] = {
                "name": sweep.name, "point": " ".join(best.words), "monitor": sweep.monitor, "mean": best.mean,
                "half_width": best.half_width, "seeds": len(best.values), "points": len(ranking.standings),
                "trials": sum(len(each.trials) for each in ranking.standings),
            }  # fmt: skip
    if not points:
        shown = phrases.pasteable(path)
        raise CheckpointError(f"{path}: has no best point: no trial was trained in full; see trainctl compare {shown}")
    return points


def show_best(points: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of best points."""
    rows, sign = [], plus_minus(sys.stdout.encoding or "utf-8")
    for point in points:
        half = "" if point["half_width"] is None else f" {sign} {phrases.number(point['half_width'])}"
        counts = [phrases.count(point[key]) for key in ("seeds", "points", "trials")]
        value = f"{point['monitor']} {phrases.number(point['mean'])}{half}"
        rows.append([point["name"], point["point"] or "-", value, *counts])
    headers = ["sweep", "settings", "mean", "seeds", "points", "trials"]
    table.show(headers, rows, title="Best points", right={"seeds", "points", "trials"})
