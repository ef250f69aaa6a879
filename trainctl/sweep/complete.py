"""Show a complete sweep again without opening it: no point is composed, and nothing is written. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from trainctl.machine import memory
from trainctl.report import table
from trainctl.settings.space_words import packages_of
from trainctl.store import rundir, runfile, runpath
from trainctl.sweep import results
from trainctl.sweep.record import require_readable
from trainctl.sweep.sweep_json import require
from trainctl.wording import amount

NOTHING_LEFT = "nothing is left to do: these are the results so far"


@memory.without_collections()  # there may be 10,000 points
def show(directory: Path, words: Sequence[str], packages: Sequence[str]) -> bool:
    """Show the results of a sweep that `trainctl resume` would leave as it is.

    It has to be opened, and is not shown, if the user types settings, if it has components of the user's own, whose code
    may have changed, if another version began it, if its journal is in a database, if a trial can be tried again, or if its
    table or its plots are missing.

    Args:
        directory: Its directory.
        words: Settings that were typed.
        packages: Packages that were named.

    Returns:
        Whether it was shown.

    Raises:
        CheckpointError: If it cannot be read.
    """
    home = directory.absolute()
    held = runpath.hold(home)
    content = require(held)
    changed = content.get("own_code") or content.get("trainctl") != rundir.version() or packages_of(content["words"])
    if words or packages or changed or content.get("storage") is not None or not runpath.kind(held / "results.csv"):
        return False
    if "output.plots=false" not in content["words"] and not runfile.names(held / "plots"):
        return False
    sweep = require_readable(home, home.parent)
    if sweep.outcome != "finished" or sweep.counts["failed"] or not sweep.counts["finished"]:
        return False
    table.line(f"{amount(sweep.points, 'point')}, {amount(len(sweep.trials), 'trial')} in {home}")
    table.line(NOTHING_LEFT)
    results.show(sweep.answer, home, sweep.fixed)
    return True
