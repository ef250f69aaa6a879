"""Print the result of a command that creates a run without training: its cost, its directory, and notes."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from trainctl.report import table
from trainctl.store import records, runpath
from trainctl.train import cost
from trainctl.train.cost import Cost


def announce(directory: Path, notes: Iterable[str] = ()) -> None:
    """Print the cost of a made run before and after, as its `summary.json` has it, and its directory.

    Args:
        directory: Directory of the run.
        notes: What the user is to know, a line each; they go to standard error.
    """
    before, after = recorded(directory)
    if before and after:
        headers, rows = cost.table(before, after)
        table.show(headers, rows, right=headers[1:])
    table.line(f"results: {directory}")
    for note in notes:
        table.line(f"trainctl: note: {note}", stream=sys.stderr)


def require_tolerable(directory: Path, tolerance: float | None) -> None:
    """Check that a made run is not worse than what it was made from by more than the user tolerates.

    Raises:
        ToleranceError: If it is; the run is kept.
    """
    cost.require_tolerable(*recorded(directory), tolerance)


def recorded(directory: Path) -> tuple[Cost | None, Cost | None]:
    """Return the cost of what a run was made from, and its own, as its `summary.json` has them."""
    size = records.read_summary(runpath.hold(directory)).size
    return cost.from_json(asdict(size) if size else None)
