"""Repeat the training of a run as a new run, from its configuration alone, and compare the results of both."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, Interrupted
from trainctl.finished.comparison import (
    Comparison,
    newest_evaluated,
    recorded,
    require_no_rewind,
    require_repeatable,
    resumed_with,
    row_difference,
    tensor_difference,
    tensors_of,
)
from trainctl.finished.open import Finished
from trainctl.run.assemble import assemble
from trainctl.store import restore, rundir
from trainctl.store.difference import check_origin
from trainctl.train import session


def reproduce(run: Finished, target: Path) -> Comparison:
    """Repeat the training of a run in a new directory, and compare evaluations, test metrics and tensors.

    Args:
        run: The run.
        target: Directory of the new run; must not exist.

    Raises:
        CheckpointError: If the run has no steps, or the data is not the run's.
        ConfigError: If the run depends on the wall clock.
    """
    require_repeatable(run.config)
    facts = rundir.read_json(run.directory / "run.json")
    settings = session.with_threads(run.config, facts.get("threads", {}).get("used"))
    again = assemble(settings)
    saved = newest_evaluated(run, again.plan)
    end = saved.manifest.step
    require_no_rewind(saved)
    if not end:
        raise CheckpointError(
            f"{run.directory}: was stopped before its first evaluation, so there is nothing to reproduce"
        )
    check_origin(again, saved)
    finished = rundir.read_json(run.directory / "summary.json").get("outcome") == "finished"
    settings = replace(settings, loop=replace(settings.loop, stop_at_step=None if finished else end))
    try:
        session.begin(settings, [], target)
    except Interrupted:
        if restore.newest(target).manifest.step != end:
            raise Interrupted("interrupted; the run was not changed") from None
    reproduced = restore.newest(target)
    difference, evaluations = _record_difference(run.directory, target, end, tested=finished)
    expected = tensors_of(saved)
    if not difference and reproduced.manifest.step != end:
        difference = f"it ended at step {end}, now at step {reproduced.manifest.step}"
    difference = difference or tensor_difference(expected, tensors_of(reproduced), end)
    causes = _changed(facts, rundir.read_json(target / "run.json")) + resumed_with(run.directory, 0)
    return Comparison(0, end, evaluations, len(expected), difference, tuple(causes) if difference else ())


def _record_difference(before: Path, now: Path, end: int, *, tested: bool) -> tuple[str, int]:
    """Compare the evaluations of two runs; return the first difference, and the number of equal ones before it."""
    count = 0
    for kind in (False, True)[: 1 + tested]:
        then, again = ({row["step"]: row for row in recorded(path, 0, end, tested=kind)} for path in (before, now))
        for step in sorted(then.keys() | again.keys()):
            if difference := row_difference(then.get(step), again.get(step)):
                return f"step {step}: {difference}", count
            count += 1
    return "", count


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe the differences between two run.json files that results may depend on, one line each."""
    then, again = _facts(before), _facts(now)
    comparable = [name for name in then if None not in (then[name], again.get(name))]
    return [f"{name} was {then[name]}, is {again[name]}" for name in comparable if then[name] != again[name]]


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that results may depend on, by their names in a message; None if a fact is not recorded."""
    facts = {f"{name}'s version": version for name, version in record.get("versions", {}).items()}
    facts |= {
        "trainctl's version": record.get("trainctl"),
        "the number of threads": record.get("threads", {}).get("used"),
        "the commit": (record.get("git") or {}).get("commit"),
        "the data": record.get("data", {}).get("fingerprint"),
    }
    return facts | {f"the {name}": record.get(name) for name in ("host", "processor", "device")}
