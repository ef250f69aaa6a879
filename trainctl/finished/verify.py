"""Repeat a run's steps in memory, from one of its checkpoints, and compare the results with its records."""

from collections.abc import Mapping
from dataclasses import asdict, replace

from trainctl.components.model.base import Pretrained
from trainctl.errors import ConfigError, Interrupted
from trainctl.fileformat.waiting import waiting
from trainctl.finished import rounding
from trainctl.finished.bitwise import (
    SECONDS,
    Allowed,
    Comparison,
    alike,
    newest_evaluated,
    pending,
    recorded,
    require_no_rewind,
    require_repeatable,
    resumed_with,
    rewinds,
    row_difference,
    tensor_difference,
    tensors_of,
)
from trainctl.finished.open import Finished
from trainctl.run.assemble import assemble
from trainctl.run.reporter import MultiReporter, Reporter, Row
from trainctl.run.run import Run
from trainctl.store import checkpoint, parents, restore
from trainctl.store.checkpoint import WholeState
from trainctl.store.difference import check_origin, computed_otherwise
from trainctl.store.manifest import Saved
from trainctl.store.runpath import AnyPath
from trainctl.train import loop, session, together
from trainctl.train.checkpoint_writer import NullWriter
from trainctl.train.heartbeat import StepCounter
from trainctl.wording import amount

SHORT = 60.0  # a run that took at most this long is repeated from its start [s]


class Mismatch(Exception):
    """An evaluation differs from its record."""


class RecordedEvaluations(Reporter):
    """Compares every evaluation with its record; a reporter without output.

    Args:
        expected: The record of each evaluation, by its step.
        allowed: How far it may be from its record.
    """

    def __init__(self, expected: Mapping[int, Row], allowed: Allowed) -> None:
        self.expected, self.allowed, self.count = expected, allowed, 0

    def evaluation(self, row: Row) -> None:
        """Compare the newest evaluation.

        Raises:
            Mismatch: If it differs from its record.
        """
        step = int(row["step"])
        if difference := row_difference(self.expected.get(step), row, self.allowed):
            raise Mismatch(f"step {step}: {difference}")
        self.count += 1


def verify(run: Finished, begin: str, steps: int | None) -> Comparison:
    """Repeat a run's steps in memory, and compare metrics and tensors with its files; write nothing.

    Args:
        run: The run.
        begin: ``auto`` (the start of a short run, else the oldest checkpoint), ``start``, ``oldest``, or a step.
        steps: Maximum number of steps; None for all steps up to the newest checkpoint.

    Raises:
        CheckpointError: If the data or settings are not the run's.
        ConfigError: If the run depends on the wall clock, or there is no checkpoint to start from.
    """
    require_repeatable(run.config)
    undamaged, troubles = restore.kept(run.directory)
    kept = {saved.manifest.step: saved for saved in undamaged}
    settings = together.undivided(session.with_threads(run.config, run.saved.manifest.threads))
    given, world = parents.read(run.directory, run.config.components), together.enter()
    again = together.assembled(
        settings, run.schema, given, run.directory.path, world=world, restored=world.link is None
    )
    newest = newest_evaluated(run, again.plan)
    first = _first_step(begin, kept, newest)
    if not first and world.link is None and isinstance(again.model, Pretrained):
        again = assemble(settings, run.schema, given)
    require_no_rewind(newest, kept.get(first))
    last = min(newest.manifest.step, first + steps if steps else newest.manifest.step)
    if last <= first:
        raise ConfigError(
            f"from={begin}: there are no steps to verify, the newest checkpoint is of step {newest.manifest.step}"
        )
    again = replace(again, config=replace(again.config, loop=replace(again.config.loop, stop_at_step=last)))
    check_origin(again, newest)
    allowed = rounding.allowed(run, again)
    if first:
        restore.restore(again, kept[first])
        again.state.stopping = replace(again.state.stopping, stop=False, reason="")  # the run was resumed after it
    together.equalize(again)
    evaluations, tensors, difference = _repeat(run, again, kept.get(last), allowed)
    causes = (*computed_otherwise(newest, run.config), *resumed_with(run.directory, first), *rounding.cause(allowed))
    notes = tuple(f"skipped: {trouble}" for trouble in troubles)
    return Comparison(
        first, last, evaluations, tensors, difference, causes if difference else (), notes, allowed.fraction
    )


def _repeat(run: Finished, again: Run, saved: Saved | None, allowed: Allowed) -> tuple[int, int, str]:
    """Repeat a run's steps; return the number of equal evaluations, of tensors compared, and the first difference.

    Args:
        run: The run.
        again: The repetition, before its first step.
        saved: The checkpoint of its last step; None if none is kept.
        allowed: How far numbers may be apart.
    """
    last = again.config.loop.stop_at_step
    assert last is not None
    rows = {row["step"]: row for row in recorded(run.directory, again.state.evaluated, last)}
    records = RecordedEvaluations(rows, allowed)
    if saved and pending(saved, again.plan):
        saved = None
    try:
        whole = _train_to(last, again, run.directory, records)
        difference, tensors = _state_difference(again, saved, whole, allowed)
    except Mismatch as error:
        difference, tensors = str(error), 0
    if not difference and records.count != len(rows):
        difference = f"{amount(len(rows), 'evaluation')} recorded, {records.count} repeated"
    return records.count, tensors, difference


def _first_step(begin: str, kept: Mapping[int, Saved], newest: Saved) -> int:
    """Return the step to start from.

    Raises:
        ConfigError: If there is no checkpoint of that step before the newest one.
    """
    end = newest.manifest.step
    if begin == "auto":
        short = newest.manifest.state["seconds"] <= SHORT and not rewinds(newest)
        begin = "start" if short or len(kept) < 2 else "oldest"
    step = {"start": 0, "oldest": min(kept, default=0)}.get(begin, int(begin) if begin.isdecimal() else -1)
    if step != 0 and (step not in kept or step >= end):
        steps = ", ".join(map(str, sorted({0, *kept} - {end})))
        raise ConfigError(f"from={begin}: no such checkpoint to start from; choose from: start, oldest, {steps}")
    return step


def _train_to(step: int, run: Run, directory: AnyPath, records: RecordedEvaluations) -> WholeState | None:
    """Train to a step, and return what the processes divide; ``loop.stop_at_step`` stops the loop there, as a signal does."""
    writer = NullWriter(run, directory, records)
    try:
        with waiting("repeating the run", step - run.state.step, "steps") as wait:
            loop.train(run, directory, MultiReporter(records, StepCounter(wait, run.state.step)), writer)
    except Interrupted:
        if run.state.step != step:
            raise Interrupted("interrupted; the run was not changed") from None
    return writer.whole


def _state_difference(run: Run, saved: Saved | None, whole: WholeState | None, allowed: Allowed) -> tuple[str, int]:
    """Compare a run with its checkpoint of the same step; return the first difference, and the number of tensors."""
    if saved is None:
        return "", 0
    numbers = asdict(replace(run.state, best_weights={}))
    for key, value in saved.manifest.state.items():
        if key in numbers and key not in SECONDS and not alike(value, numbers[key], allowed):
            return f"step {run.state.step}: {key} was {value}, is now {numbers[key]}", 0
    before, now = tensors_of(saved), checkpoint.all_tensors(run, whole)
    if run.state.best:
        best = whole[2] if whole else run.state.best_weights
        now |= {f"best model.{key}": value for key, value in best.items()}
        now |= {f"best {key}": value for key, value in now.items() if key.startswith(("scale.", "clean."))}
    return tensor_difference(before, now, run.state.step, allowed), len(before)
