"""One training session: from an assembled run to its summary, in its directory."""

import math
import os
import platform
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainctl.data.rows import SplitName
from trainctl.errors import (
    Advice,
    CheckpointError,
    Interrupted,
    NonFiniteError,
    StorageError,
    Terminated,
    TrainctlError,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.machine import device, threads
from trainctl.machine.signals import Terminate
from trainctl.report import phrases as words
from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run import assemble
from trainctl.run.reporter import MultiReporter, Reporter, Row
from trainctl.run.run import Run
from trainctl.settings.config import Config
from trainctl.store import checkpoint, files, lock, restore, rundir
from trainctl.store.difference import computed_otherwise
from trainctl.train import checkpoint_writer as saving
from trainctl.train import loop
from trainctl.train.budget import end_reason
from trainctl.train.evaluation import confusion, evaluate

Summary = dict[str, Any]


def begin(config: Config, overrides: Sequence[str], directory: Path | None = None, *, quiet: bool = False) -> Summary:
    """Train a new run.

    Args:
        config: Its configuration.
        overrides: What was typed.
        directory: Where it goes, not there yet; a new one below ``output.root`` if None.
        quiet: Print nothing.

    Returns:
        What ``summary.json`` holds.

    Raises:
        TrainctlError: Of every kind; before the first step, nothing is left behind.
    """
    run = assemble.assemble(config)
    if directory is None:
        directory = rundir.create(
            config.output.root, "-".join(config.parts[group]["name"] for group in ("dataset", "model", "optimizer"))
        )
    else:
        rundir.make(directory)
    with ExitStack() as held:
        try:
            held.enter_context(lock.hold(directory))
            saving.rehearse(run, directory)
            rundir.write_config(directory, config.tree, overrides)
            rundir.write_json(directory / "run.json", describe(run))
            # A run that is killed in its first seconds can go on.
            saving.retried(lambda: checkpoint.save(run, directory), lambda error: None)
            reporter = reporters(run, directory, quiet=quiet)
        except BaseException:
            rundir.remove(directory)
            raise
        return go_on(run, directory, reporter, [])


def resume(config: Config, overrides: Sequence[str], directory: Path) -> Summary:
    """Train an existing run further, from its newest undamaged checkpoint.

    Args:
        config: The run's configuration, with what is to change.
        overrides: What was typed to change it.
        directory: The run's.

    Returns:
        What ``summary.json`` holds, and whether there was anything to do, as ``resumed``.

    Raises:
        StorageError: If another process writes there, or there is no room for a checkpoint.
    """
    with lock.hold(directory) as taken_over:
        rundir.remove_leftovers(directory)
        return _resume(config, overrides, directory, taken_over)


def _resume(config: Config, overrides: Sequence[str], directory: Path, taken_over: str) -> Summary:
    saved = restore.newest(directory)
    if not saved.skipped:  # what looks damaged stays until there is a newer one
        checkpoint.prune(directory, saved.manifest.step, config.checkpoint.keep)
    run = assemble.assemble(as_before(config, saved.manifest.threads))
    restore.restore(run, saved)
    if any(word.startswith(("early_stopping.", "loop.")) for word in overrides):
        run.state.stopping = replace(run.state.stopping, stop=False, reason="")  # asked to go on, so judged anew
    before = rundir.read_json(directory / "summary.json")
    if (reason := end_reason(run)) and before.get("outcome") == "finished" and before.get("steps") == run.state.step:
        return before | {"resumed": False, "reason": reason}
    if reason and run.state.best is None and saved.skipped:
        raise CheckpointError(
            f"{directory}: its best weights are damaged, and no step is left in which others could be chosen: raise the"
            " budget, as loop.epochs, or evaluate the last ones with which=last"
        )
    saving.rehearse(run, directory)
    rows = rundir.read_metrics(directory, run.state.step, saved.manifest.evaluations)
    history = [row for row in rows if not any(key.startswith("test/") for key in row)]
    if overrides:
        typed = rundir.read_overrides(directory)
        rundir.write_config(directory, config.tree, [*typed, *overrides])
        facts = rundir.read_json(directory / "run.json")
        resumed = [*facts.get("resumed", []), {"step": run.state.step, "changed": list(overrides)}]
        rundir.write_json(directory / "run.json", facts | {"resumed": resumed})
    reporter = reporters(run, directory)
    notes = [
        f"{difference}: the last bits may differ from those of a run without a stop"
        for difference in computed_otherwise(saved, config)
    ]
    if lost := missing(run, history):
        shown = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
        notes.append(f"metrics.jsonl is damaged: it lacks {len(lost)} evaluations, of step {shown}")
    for note in (taken_over, *notes, *(f"passed over: {trouble}" for trouble in saved.skipped)):
        if note:
            reporter.note(note)
    files.remove(directory / "summary.json")  # of an earlier end: it would hold for this one if the run were killed
    return go_on(run, directory, reporter, history) | {"resumed": True}


def as_before(settings: Config, used: int | None) -> Config:
    """Return settings that compute on as many threads as before, if the machine has them: results to the last bit.

    Args:
        settings: Of the run.
        used: Threads before; None if unknown.
    """
    if settings.threads is None and used and used <= len(threads.allowed()):
        return replace(settings, threads=used)
    return settings


def missing(run: Run, history: Sequence[Row]) -> list[int]:
    """Return the steps that a run has evaluated and of which no record is left."""
    done, every = run.state.step - run.state.pending, run.plan.eval_every
    return sorted({*range(every, done + 1, every)} - {int(row["step"]) for row in history})


def reporters(run: Run, directory: Path, *, quiet: bool = False) -> Reporter:
    """Return what tells the user: the terminal's live view or plain lines unless quiet, and the run's files."""
    loggers = assemble.build_all(run.config, "logger", directory=directory)
    files = Files(directory, loggers)
    if quiet:
        return files
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from trainctl.report.console import Console

        return MultiReporter(files, Console())
    return MultiReporter(files, Plain(sys.stdout))


def go_on(run: Run, directory: Path, reporter: Reporter, history: Sequence[Row]) -> Summary:
    """Run the loop and conclude; however it ends, `summary.json` says so."""
    try:
        reporter.start(run, directory, history)
        try:
            reason = loop.train(run, directory, reporter)
            if run.state.best is None:
                raise NonFiniteError(
                    f"{run.config.monitor} was finite at no evaluation, so no weights are the best; the last are saved"
                )
            return finish(run, directory, reporter, reason)
        except (Interrupted, Terminated) as error:
            outcome = "interrupted" if isinstance(error, Interrupted) else "terminated"
            conclude(run, directory, reporter, outcome, str(error))
            error.args = (
                f"{error}; go on with: trainctl resume {shlex.quote(str(directory))}{words.own(run.config.components)}",
            )
            raise
        except TrainctlError as error:
            conclude(run, directory, reporter, "failed", str(error))
            raise
    finally:
        reporter.close()


def finish(run: Run, directory: Path, reporter: Reporter, reason: str) -> Summary:
    """Conclude a run that is done; a signal leaves that to whoever resumes it.

    Raises:
        Interrupted, Terminated: If a signal came.
        UnavailableError: If memory ran out.
    """
    try:
        return conclude(run, directory, reporter, "finished", reason)
    except KeyboardInterrupt as left:
        kind = Terminated if isinstance(left, Terminate) else Interrupted
        raise kind("stopped while the trained run was tested; it is saved") from None
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise UnavailableError(f"{out_of_memory(error)}; the trained run is saved") from error


def conclude(run: Run, directory: Path, reporter: Reporter, outcome: str, reason: str) -> Summary:
    """Test a finished run on its best weights, draw its plots, and write its summary."""
    state, rows = run.state, rundir.read_metrics(directory, None, list(map(rundir.line, reporter.unsaved())))
    best = next((row for row in rows if state.best and row["step"] == state.best.step), {})
    found = {key: value for key, value in best.items() if "/" in key}
    matrix: list[list[int]] = []
    if outcome == "finished":
        run.average.model.load_state_dict(state.best_weights or run.average.model.state_dict())
        split: SplitName = "test" if len(run.data.splits["test"]) else "val"
        found |= evaluate(run, "test") if split == "test" else {}
        matrix = confusion(run, split) if run.task == "classification" else []
    summary = {
        "outcome": outcome,
        "reason": reason,
        "steps": state.step,
        "epochs": run.epoch,
        "seconds": state.seconds,
        "samples_per_second": state.step
        * len(run.data.splits["train"])
        / run.plan.steps_per_epoch
        / max(state.seconds, 1e-9),
        "parameters": run.parameters,
        "skipped": state.skipped,
        "rewinds": state.rewinds,
        "monitor": run.config.monitor,
        "best": None
        if state.best is None
        else {"step": state.best.step, "epoch": state.best.epoch, "value": state.best.value},
        "metrics": {name: value for name, value in found.items() if math.isfinite(value)},  # JSON knows no NaN
    }
    if run.config.output.plots and rows:
        try:
            draw(run, directory, rows, matrix)
        except StorageError as error:
            warnings.warn(f"the plots are incomplete: {error}", Advice, stacklevel=1)
    reporter.finish(summary)
    reporter.unsaved()
    record(directory, summary)  # last: a run that has a summary lacks nothing
    return summary


def record(directory: Path, summary: Summary) -> None:
    """Write `summary.json`; where a run did not finish, why it stopped matters more than that this cannot be written.

    Raises:
        StorageError: If that of a finished run cannot be written.
    """
    try:
        saving.retried(lambda: rundir.write_json(directory / "summary.json", summary), lambda error: None)
    except StorageError as error:
        if summary["outcome"] == "finished":
            kept = f"the run is finished and saved; trainctl resume {shlex.quote(str(directory))} concludes it again"
            raise StorageError(f"{error}; {kept}") from error
        warnings.warn(f"no summary: {error}", Advice, stacklevel=1)


def draw(run: Run, directory: Path, rows: Sequence[dict[str, Any]], matrix: list[list[int]]) -> None:
    """Write the run's plots; matplotlib is imported only now, as it costs a second."""
    from trainctl.report import plots

    rows = [row for row in rows if "lr" in row]
    plots.curves(rows, directory, run.config.monitor, run.state.best.step if run.state.best else None)
    if matrix:
        plots.confusion(matrix, run.data.class_names, directory / "plots" / "confusion.png")


def describe(run: Run) -> dict[str, Any]:
    """Return what `run.json` holds: what the run was made with."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["trainctl", *sys.argv[1:]]),
        "trainctl": rundir.version(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "git": git(),
        "host": platform.node(),
        "processor": device.processor(),
        "device": device.describe(run.device),
        "threads": {"used": run.threads.threads, "reason": run.threads.reason},
        "seed": run.config.seed,
        "data": {"fingerprint": run.data.fingerprint}
        | {name: len(rows) for name, rows in run.data.splits.items()}
        | {"cleaned": list(run.data.changes), "notes": list(run.data.notes)},
        "model": {"name": run.config.parts["model"]["name"], "parameters": run.parameters},
    }


def git() -> dict[str, Any] | None:
    """Return the commit of the current directory and whether it has changes; None outside a repository."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status)}
