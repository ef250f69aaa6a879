"""Print the result of a command that creates a run without training: its cost, its directory, and notes."""

import sys
from collections.abc import Iterable
from pathlib import Path

from trainctl.report import table
from trainctl.store import records, runpath
from trainctl.store.records import Size
from trainctl.train import cost
from trainctl.train.cost import Cost


def announce(directory: Path, notes: Iterable[str] = ()) -> None:
    """Print the cost of a made run before and after, as its `summary.json` has it, and its directory.

    Args:
        directory: Directory of the run.
        notes: What the user is to know, a line each; they go to standard error.
    """
    size = records.read_summary(runpath.hold(directory)).size
    after, before = as_cost(size), as_cost(size.before if size else None)
    if before and after:
        headers, rows = cost.table(before, after)
        table.show(headers, rows, right=headers[1:])
    table.line(f"results: {directory}")
    for note in notes:
        table.line(f"trainctl: note: {note}", stream=sys.stderr)


def as_cost(size: Size | None) -> Cost | None:
    """Return the cost that is recorded in a summary; None if a part of it is missing."""
    values = [] if size is None else [getattr(size, key) for key in Cost.__dataclass_fields__]
    return Cost(*values) if values and None not in values else None
