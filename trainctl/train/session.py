"""A training session: from a configuration to the summary in the run directory."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from trainctl.data.schema import Schema
from trainctl.errors import (
    Advice,
    CheckpointError,
    ConfigError,
    Interrupted,
    NonFiniteError,
    Terminated,
    TrainctlError,
    exit_called,
)
from trainctl.machine import launch, threads
from trainctl.report import run_lines
from trainctl.report.reporters import Reporters
from trainctl.report.reporters import records as run_files
from trainctl.run.parent import Parent
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.settings import naming, processes
from trainctl.settings.config import Config
from trainctl.step.sharded import is_sharded, shares_of
from trainctl.store import checkpoint, files, lock, records, restore, rundir, runpath
from trainctl.store import parents as stored_parents
from trainctl.store.building import remove_abandoned
from trainctl.store.difference import computed_otherwise
from trainctl.store.lock import LostLockError
from trainctl.store.manifest import Saved
from trainctl.store.records import MadeBy
from trainctl.store.runpath import AnyPath, RunPath
from trainctl.train import checkpoint_writer, loop, parentage, provenance, together
from trainctl.train.budget import Judge, end_reason
from trainctl.train.conclusion import Summary, conclude, finish
from trainctl.train.log_lines import listening
from trainctl.wording import agree, amount, shell_words


def no_judge(row: Row) -> None:
    """Return None, so that training continues."""


def begin(
    config: Config,
    overrides: Sequence[str],
    directory: Path | None = None,
    *,
    reporters: Reporters = run_files,
    judge: Judge = no_judge,
    trained: Schema | None = None,
    parents: tuple[Parent, ...] | None = None,
    made_by: MadeBy | None = None,
    parents_at: Path | None = None,
) -> Summary:
    """Train a new run, together with the other processes that the environment names.

    Args:
        config: The run's configuration.
        overrides: The overrides from the command line.
        directory: Run directory, which must not exist yet; None for a new one below ``output.root``.
        reporters: Builds the session's reporters, once the run and its directory exist; by default the run's files.
        judge: Called after each evaluation; returns a reason to stop, or None.
        trained: The schema of the run that this one repeats; None for a run of its own.
        parents: The runs that it is made from; None for those that the configuration names.
        made_by: The command that makes it from them; None if the user composed it.
        parents_at: The run directory from which ``parents`` were read; None if the configuration names them.

    Returns:
        The content of ``summary.json``.

    Raises:
        TrainctlError: If training fails; if this happens before the first step, the run directory is removed.
    """
    world = together.enter()
    config, note = (config, "") if trained else processes.divided(config, world.size)  # a repeated run keeps its parts
    if note:
        warnings.warn(note, Advice, stacklevel=2)
    found = parentage.find(config) if parents is None else parents
    run = together.assembled(config, trained, found, parents_at, world=world)
    if directory is None:
        directory = rundir.create(config.output.root, naming.label(config, overrides if made_by is None else ()))
    else:
        rundir.make(directory, trial=made_by is None)
    remove_abandoned(directory.parent)
    held = runpath.hold(directory)  # from here on, whatever becomes of its path
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.hold(held))
            checkpoint_writer.rehearse(run, held)
            rundir.write_config(held, config.tree, overrides)
            rundir.write_json(held / "run.json", provenance.run_json(run, made_by))
            stored_parents.write(held, run.parents)
            # So that a run that is killed in its first seconds can be resumed.
            checkpoint_writer.retried(lambda: checkpoint.save(run, held), lambda error: None)
            reporter = listening(reporters(run, held), run)
        except BaseException:
            rundir.remove(directory)
            raise
        return _train(run, held, reporter, [], judge)


def resume(
    config: Config,
    overrides: Sequence[str],
    directory: AnyPath,
    *,
    reporters: Reporters = run_files,
    judge: Judge = no_judge,
) -> Summary:
    """Continue an existing run from its newest undamaged checkpoint.

    Args:
        config: The run's configuration, including the changes.
        overrides: The changes from the command line.
        directory: Run directory.
        reporters: Builds the session's reporters; by default the run's files.
        judge: Called after each evaluation; returns a reason to stop, or None.

    Returns:
        The content of ``summary.json`` with the additional key ``resumed``, which is false if there was nothing to do.

    Raises:
        StorageError: If another process writes to the run, or there is no space for a checkpoint.
    """
    directory = runpath.hold(directory)
    rundir.require_plain(directory)
    with lock.hold(directory) as note:
        rundir.prepare(directory)
        saved = restore.newest(directory)
        if not saved.skipped:  # keep checkpoints that seem damaged until there is a newer one
            checkpoint.remove_old(directory, saved.manifest.step, config.checkpoint.keep)
        run = together.assembled(
            with_threads(config, saved.manifest.threads),
            Schema.from_json(saved.manifest.data, saved.path),
            stored_parents.read(directory, config.components),
            directory.path,
            world=together.enter(),
            restored=True,
        )
        restore.restore(run, saved)
        if any(word.startswith(("early_stopping.", "loop.")) for word in overrides):
            run.state.stopping = replace(run.state.stopping, stop=False, reason="")  # decide again
        if summary := _nothing_to_do(run, directory, saved):
            return summary
        checkpoint_writer.rehearse(run, directory)
        # Drop the rows of evaluations after the checkpoint, which are repeated.
        rows = rundir.read_metrics(directory, run.state.evaluated, saved.manifest.evaluations)
        history = [row for row in rows if not any(key.startswith("test/") for key in row)]
        _record_changes(run, directory, overrides)
        reporter = listening(reporters(run, directory), run)
        for line in (note, *_warnings(run, saved, history)):
            if line:
                reporter.note(line)
        files.remove(directory / "summary.json")  # of the previous session; it would be wrong if this one were killed
        return _train(run, directory, reporter, history, judge) | {"resumed": True}


def _nothing_to_do(run: Run, directory: RunPath, saved: Saved) -> Summary | None:
    """Return the summary of a run that is already finished; None if there is something to do.

    Raises:
        CheckpointError: If its best weights are damaged, and no steps remain to determine new ones.
    """
    before, reason = records.read_summary(directory), end_reason(run)
    if reason and before.outcome == "finished" and before.steps == run.state.step:
        return asdict(before) | {"resumed": False, "reason": reason}
    if reason and run.state.best is None and saved.skipped:
        raise CheckpointError(
            f"{directory}: its best weights are damaged, and no training steps remain to determine new ones: raise the"
            " budget, e.g. loop.epochs, or evaluate the last weights with which=last"
        )
    return None


def _record_changes(run: Run, directory: RunPath, overrides: Sequence[str]) -> None:
    facts, changes = records.read_facts(directory), dict[str, Any]()
    if overrides:
        rundir.write_config(directory, run.config.tree, [*rundir.read_overrides(directory), *overrides])
        before = [asdict(entry) for entry in facts.resumed]
        changes["resumed"] = [*before, {"step": run.state.step, "changed": list(overrides)}]
    if is_sharded(run) and not facts.shard:
        changes["shard"] = True
    if changes:
        rundir.write_json(directory / "run.json", rundir.read_json(directory / "run.json") | changes)


def _warnings(run: Run, saved: Saved, history: Sequence[Row]) -> list[str]:
    """Return warnings for a user who resumes a run, a line each."""
    lines = [
        f"{difference}: results may differ in the last bits from those of an uninterrupted run"
        for difference in computed_otherwise(saved, run.config)
    ]
    count, first = lost_evaluations(run, history)
    if count:
        shown = ", ".join(map(str, first)) + (", ..." if count > len(first) else "")
        at = f"{amount(count, 'evaluation')}, at {agree(count, 'step', 'steps')} {shown}"
        lines.append(f"metrics.jsonl is damaged: missing {at}")
    return lines + [f"skipped: {trouble}" for trouble in saved.skipped]


def with_threads(config: Config, before: int | None) -> Config:
    """Return a configuration with as many threads as before, if available, so that results are bit-identical.

    Args:
        config: The run's configuration; if it sets the number of threads, that is kept.
        before: The number of threads used before; None if unknown.
    """
    if config.threads is None and before and before <= len(threads.allowed()):
        return replace(config, threads=before)
    return config


def lost_evaluations(run: Run, history: Sequence[Row]) -> tuple[int, list[int]]:
    """Return how many evaluations are missing in the history, and the steps of the first five."""
    every = run.plan.eval_every
    due, recorded = range(every, run.state.evaluated + 1, every), {int(row["step"]) for row in history}
    missing = islice((step for step in due if step not in recorded), 5)  # a checkpoint may name any step
    return len(due) - sum(step in due for step in recorded), list(missing)


def _train(run: Run, directory: RunPath, reporter: Reporter, history: Sequence[Row], judge: Judge) -> Summary:
    """Run the training loop and conclude; `summary.json` contains the outcome in every case."""
    packages = list(run.config.components)
    launch.tell({"directory": str(directory), "components": packages, "shares": shares_of(run)})
    try:
        together.equalize(run)
        reporter.start(run, directory.path, history)
        try:
            ending = loop.train(run, directory, reporter, judge=judge)
            if ending.outcome == "stopped":
                return conclude(run, directory, reporter, ending.outcome, ending.reason)
            if run.state.best is None:
                raise NonFiniteError(
                    f"{run.config.monitor} was never finite, so there are no best weights; the last weights are saved"
                )
            return finish(run, directory, reporter, ending.reason)
        except (Interrupted, Terminated) as error:
            outcome = "interrupted" if isinstance(error, Interrupted) else "terminated"
            conclude(run, directory, reporter, outcome, str(error))
            own = run_lines.argument_here(run.config.components)
            command = shell_words(["trainctl", "resume", str(directory)]) + own
            *others, last = error.lines
            error.args = (*others, f"{last}; resume with: {command}")
            raise
        except LostLockError:
            raise  # the run is another process's now, and so are its records
        except TrainctlError as error:
            conclude(run, directory, reporter, "failed", str(error))
            raise
        except SystemExit as error:
            conclude(run, directory, reporter, "failed", exit_called(error))
            raise ConfigError(exit_called(error)) from error
        except Exception as error:
            conclude(run, directory, reporter, "failed", f"{type(error).__name__}: {error}")
            raise
    finally:
        reporter.close()
