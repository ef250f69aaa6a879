"""Find what the models of runs cost: as measured for a run itself, or for one that was made from it. Imports no torch."""

import os
from collections.abc import Sequence
from contextlib import suppress

from trainctl.errors import CheckpointError
from trainctl.finished.lineage import state_of
from trainctl.finished.record import Record
from trainctl.store import records
from trainctl.store.records import Size


def sizes(runs: Sequence[Record]) -> list[Size | None]:
    """Return the size of each run's model; None if no command has measured it.

    A command that makes a run from one other run measures both and records both with the new run. So the other one's is known
    if the new run is among these, and its parent has not changed since.
    """
    found: dict[str, Size] = {}
    for run in runs:
        if run.size and run.size.before:
            with suppress(CheckpointError):
                parents = records.read_facts(run.path).parents
                if len(parents) == 1 and state_of(parents[0]) == "unchanged":
                    found[os.path.realpath(parents[0].path)] = run.size.before
    return [run.size or found.get(os.path.realpath(run.path)) for run in runs]
