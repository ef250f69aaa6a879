"""One training session: from an assembled run to its summary, in its directory."""

import importlib.metadata
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainctl import assemble, checkpoint, device, loop, rundir, threads
from trainctl.budget import end_reason
from trainctl.config import Config
from trainctl.errors import (
    Interrupted,
    NonFiniteError,
    Terminated,
    TrainctlError,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.evaluation import confusion, evaluate
from trainctl.report.base import Reporter, Row, Together
from trainctl.report.files import Files
from trainctl.report.plain import Plain
from trainctl.run import Run, SplitName
from trainctl.signals import Leave

Summary = dict[str, Any]


def begin(config: Config, overrides: Sequence[str], directory: Path | None = None) -> Summary:
    """Train a new run.

    Args:
        config: Its configuration.
        overrides: What was typed.
        directory: Where it goes, not there yet; a new one below ``output.root`` if None.

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
    try:
        rundir.write_config(directory, config.tree, overrides)
        rundir.write_json(directory / "run.json", describe(run))
        checkpoint.save(run, directory)  # the place can be written, and a run killed in its first seconds can go on
        reporter = reporters(run, directory)
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
    """
    saved = checkpoint.newest(directory)
    used = saved.manifest.get("threads")
    if config.threads is None and used and used <= len(threads.allowed()):  # as before: results to the last bit
        config = replace(config, threads=used)
    run = assemble.assemble(config)
    checkpoint.restore(run, saved)
    if any(word.startswith(("early_stopping.", "loop.")) for word in overrides):
        run.state.stopping = replace(run.state.stopping, stop=False, reason="")  # asked to go on, so judged anew
    before = rundir.read_json(directory / "summary.json")
    if (reason := end_reason(run)) and before.get("outcome") == "finished":
        return before | {"resumed": False, "reason": reason}
    history = [
        row for row in rundir.read_metrics(directory, run.state.step) if not any(key.startswith("test/") for key in row)
    ]
    if overrides:
        typed = rundir.read_overrides(directory)
        rundir.write_config(directory, config.tree, [*typed, *overrides])
    reporter = reporters(run, directory)
    for trouble in saved.passed_over:
        reporter.note(f"passed over: {trouble}")
    return go_on(run, directory, reporter, history) | {"resumed": True}


def reporters(run: Run, directory: Path) -> Reporter:
    """Return what tells the user: the terminal's live view or plain lines, and the run's files."""
    loggers = assemble.build_all(run.config, "logger", directory=directory)
    files = Files(directory, loggers)
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from trainctl.report.console import Console

        return Together(files, Console())
    return Together(files, Plain(sys.stdout))


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
            error.args = (f"{error}; go on with: trainctl resume {shlex.quote(str(directory))}",)
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
        kind = Terminated if isinstance(left, Leave) else Interrupted
        raise kind("stopped while the trained run was tested; it is saved") from None
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise UnavailableError(f"{out_of_memory(error)}; the trained run is saved") from error


def conclude(run: Run, directory: Path, reporter: Reporter, outcome: str, reason: str) -> Summary:
    """Test a finished run on its best weights, draw its plots, and write its summary."""
    state, rows = run.state, rundir.read_metrics(directory)
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
    rundir.write_json(directory / "summary.json", summary)
    if run.config.output.plots and rows:
        draw(run, directory, rows, matrix)
    reporter.finish(summary)
    return summary


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
        "trainctl": importlib.metadata.version("trainctl") if installed("trainctl") else "checkout",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "git": git(),
        "host": platform.node(),
        "device": device.describe(run.device),
        "threads": {"used": run.threads.threads, "reason": run.threads.reason},
        "seed": run.config.seed,
        "data": {"fingerprint": run.data.fingerprint}
        | {name: len(rows) for name, rows in run.data.splits.items()}
        | {"cleaned": list(run.data.changes)},
        "model": {"name": run.config.parts["model"]["name"], "parameters": run.parameters},
    }


def installed(package: str) -> bool:
    """Say whether a distribution is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


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
