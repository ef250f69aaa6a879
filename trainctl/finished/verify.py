"""Repeat a run's steps in memory, from one of its checkpoints, and compare the results with its records."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace

from trainctl.components.model.base import Pretrained
from trainctl.errors import ConfigError, Interrupted
from trainctl.fileformat.waiting import waiting
from trainctl.finished.bitwise import (
    SECONDS,
    Comparison,
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
    """

    def __init__(self, expected: Mapping[int, Row]) -> None:
        self.expected, self.count = expected, 0

    def evaluation(self, row: Row) -> None:
        """Compare the newest evaluation.

        Raises:
            Mismatch: If it differs from its record.
        """
        step = int(row["step"])
        if difference := row_difference(self.expected.get(step), row):
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
    if first:
        restore.restore(again, kept[first])
        again.state.stopping = replace(again.state.stopping, stop=False, reason="")  # the run was resumed after it
    together.equalize(again)
    records = RecordedEvaluations({row["step"]: row for row in recorded(run.directory, again.state.evaluated, last)})
    comparable = kept.get(last)
    if comparable and pending(comparable, again.plan):
        comparable = None
    try:
        _train_to(last, again, run.directory, records)
        difference, tensors = _state_difference(again, comparable)
    except Mismatch as error:
        difference, tensors = str(error), 0
    if not difference and records.count != len(records.expected):
        difference = f"{amount(len(records.expected), 'evaluation')} recorded, {records.count} repeated"
    causes = (*computed_otherwise(newest, run.config), *resumed_with(run.directory, first)) if difference else ()
    notes = tuple(f"skipped: {trouble}" for trouble in troubles)
    return Comparison(first, last, records.count, tensors, difference, causes, notes)


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


def _train_to(step: int, run: Run, directory: AnyPath, records: RecordedEvaluations) -> None:
    """Train to a step; ``loop.stop_at_step`` stops the loop there, in the same way as a signal."""
    try:
        with waiting("repeating the run", step - run.state.step, "steps") as wait:
            reporter = MultiReporter(records, StepCounter(wait, run.state.step))
            loop.train(run, directory, reporter, NullWriter(run, directory, records))
    except Interrupted:
        if run.state.step != step:
            raise Interrupted("interrupted; the run was not changed") from None


def _state_difference(run: Run, saved: Saved | None) -> tuple[str, int]:
    """Compare a run with its checkpoint of the same step; return the first difference, and the number of tensors."""
    if saved is None:
        return "", 0
    numbers = asdict(replace(run.state, best_weights={}))
    for key, value in saved.manifest.state.items():
        if key in numbers and key not in SECONDS and json.dumps(value) != json.dumps(numbers[key]):
            return f"step {run.state.step}: {key} was {value}, is now {numbers[key]}", 0
    before, now = tensors_of(saved), checkpoint.all_tensors(run)
    if run.state.best:
        now |= {f"best model.{key}": value for key, value in run.state.best_weights.items()}
        now |= {f"best {key}": value for key, value in now.items() if key.startswith(("scale.", "clean."))}
    return tensor_difference(before, now, run.state.step), len(before)
