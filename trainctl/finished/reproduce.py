"""Repeat the training of a run as a new run, from its configuration alone, and compare the results of both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, Interrupted
from trainctl.fileformat.waiting import waiting
from trainctl.finished import rounding
from trainctl.finished.bitwise import (
    Allowed,
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
from trainctl.report.reporters import records as own_records
from trainctl.run.assemble import assemble
from trainctl.run.parent import Parent
from trainctl.run.reporter import MultiReporter
from trainctl.settings.config import Config
from trainctl.store import parents as stored_parents
from trainctl.store import records, restore
from trainctl.store.difference import check_origin, parts_otherwise
from trainctl.store.manifest import Saved
from trainctl.store.records import Facts
from trainctl.store.runpath import AnyPath
from trainctl.train import session
from trainctl.train.heartbeat import StepCounter


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
    facts = records.read_facts(run.directory)
    settings = session.with_threads(run.config, facts.threads.used)
    parents = stored_parents.read(run.directory, run.config.components)
    again = assemble(settings, run.schema, parents)
    saved = newest_evaluated(run, again.plan)
    end = saved.manifest.step
    require_no_rewind(saved)
    if not end:
        raise CheckpointError(
            f"{run.directory}: was stopped before its first evaluation, so there is nothing to reproduce"
        )
    check_origin(again, saved)
    finished = records.read_summary(run.directory).outcome == "finished"
    settings = replace(settings, loop=replace(settings.loop, stop_at_step=None if finished else end))
    reproduced = _train_again(run, settings, parents, target, end)
    allowed = rounding.allowed(run, again)
    difference, evaluations = _record_difference(run.directory, target, end, allowed, tested=finished)
    expected = tensors_of(saved)
    if not difference and reproduced.manifest.step != end:
        difference = f"it ended at step {end}, now at step {reproduced.manifest.step}"
    difference = difference or tensor_difference(expected, tensors_of(reproduced), end, allowed)
    causes = parts_otherwise(saved, settings) + _changed(facts, records.read_facts(target))
    causes += [*resumed_with(run.directory, 0), *rounding.cause(allowed)]
    return Comparison(
        0, end, evaluations, len(expected), difference, tuple(causes) if difference else (), allowed=allowed.fraction
    )


def _train_again(run: Finished, settings: Config, parents: tuple[Parent, ...], target: Path, end: int) -> Saved:
    """Train the new run, and return its newest checkpoint.

    Raises:
        Interrupted: If a signal stopped it before its end.
    """
    try:
        with waiting("training again", end, "steps") as wait:
            session.begin(
                settings,
                [],
                target,
                reporters=lambda run, directory: MultiReporter(own_records(run, directory), StepCounter(wait)),
                trained=run.schema,
                parents=parents,
                made_by=records.read_facts(run.directory).made_by,
                parents_at=run.directory.path,
            )
    except Interrupted:
        if restore.newest(target).manifest.step != end:
            raise Interrupted("interrupted; the run was not changed") from None
    return restore.newest(target)


def _record_difference(before: AnyPath, now: AnyPath, end: int, allowed: Allowed, *, tested: bool) -> tuple[str, int]:
    """Compare the evaluations of two runs; return the first difference, and the number of equal ones before it."""
    count = 0
    for kind in (False, True)[: 1 + tested]:
        then, again = ({row["step"]: row for row in recorded(path, 0, end, tested=kind)} for path in (before, now))
        for step in sorted(then.keys() | again.keys()):
            if difference := row_difference(then.get(step), again.get(step), allowed):
                return f"step {step}: {difference}", count
            count += 1
    return "", count


def _changed(before: Facts, now: Facts) -> list[str]:
    """Describe the differences between two run.json files that results may depend on, one line each."""
    then, again = _facts(before), _facts(now)
    comparable = [name for name in then if None not in (then[name], again.get(name))]
    return [f"{name} was {then[name]}, is {again[name]}" for name in comparable if then[name] != again[name]]


def _facts(record: Facts) -> dict[str, Any]:
    """Return the facts that results may depend on, by their names in a message; None if a fact is not recorded."""
    facts: dict[str, Any] = {f"{name}'s version": version for name, version in record.versions.items()}
    facts |= {
        "trainctl's version": record.trainctl,
        "the number of threads": record.threads.used,
        "the commit": record.git.commit if record.git else None,
        "the data": record.data.fingerprint,
        "the file of pretrained weights": record.pretrained.get("sha256"),
    }
    return facts | {"the host": record.host, "the processor": record.processor, "the device": record.device}
