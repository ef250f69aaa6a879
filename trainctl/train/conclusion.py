"""How a session ends: the best weights are tested, plots drawn, and the summary written."""

import math
import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainctl.data.rows import SplitName
from trainctl.errors import (
    Advice,
    Interrupted,
    StorageError,
    Terminated,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.machine.signals import Terminate
from trainctl.run.reporter import Reporter
from trainctl.run.run import Run
from trainctl.store import rundir
from trainctl.train import checkpoint_writer
from trainctl.train.evaluation import confusion, evaluate

Summary = dict[str, Any]


def finish(run: Run, directory: Path, reporter: Reporter, reason: str) -> Summary:
    """Test the best weights of a run that is done, and conclude it; a signal leaves that to whoever resumes the run.

    Raises:
        Interrupted, Terminated: If a signal came.
        UnavailableError: If memory ran out.
    """
    try:
        with best_weights(run):
            metrics, matrix = measure_test_split(run)
        return conclude(run, directory, reporter, "finished", reason, metrics, matrix)
    except KeyboardInterrupt as signal:
        kind = Terminated if isinstance(signal, Terminate) else Interrupted
        raise kind("stopped while the trained model was tested; the run is saved") from None
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise UnavailableError(f"{out_of_memory(error)}; the trained run is saved") from error


@contextmanager
def best_weights(run: Run) -> Iterator[None]:
    """Give the evaluated model the best weights, and its own back at the end."""
    model = run.average.model
    own = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    model.load_state_dict(run.state.best_weights)
    try:
        yield
    finally:
        model.load_state_dict(own)


def measure_test_split(run: Run) -> tuple[dict[str, float], list[list[int]]]:
    """Return the metrics of the test split, none if it is empty, and a classification's confusion matrix.

    Without test rows the matrix is that of the validation split.
    """
    tested: SplitName = "test" if len(run.data.splits["test"]) else "val"
    metrics = evaluate(run.evaluation, "test") if tested == "test" else {}
    return metrics, confusion(run.evaluation, tested) if run.task == "classification" else []


def conclude(
    run: Run,
    directory: Path,
    reporter: Reporter,
    outcome: str,
    reason: str,
    metrics: Mapping[str, float] | None = None,
    matrix: Sequence[Sequence[int]] = (),
) -> Summary:
    """Write the plots and the summary of a session, and report it.

    Args:
        run: As the session left it.
        directory: Of the run.
        reporter: Of the session.
        outcome: ``finished``, ``stopped``, ``interrupted``, ``terminated`` or ``failed``.
        reason: Why, in words.
        metrics: Of the test split, if it was measured.
        matrix: The confusion matrix, to be drawn if it is not empty.
    """
    rows = rundir.read_metrics(directory, None, list(map(rundir.line, reporter.unsaved())))
    summary = summarize(run, outcome, reason, {**best_metrics(run, rows), **(metrics or {})})
    if run.config.output.plots and rows:
        try:
            draw(run, directory, rows, matrix)
        except StorageError as error:
            warnings.warn(f"the plots are incomplete: {error}", Advice, stacklevel=1)
    reporter.finish(summary)
    reporter.unsaved()
    write_summary(directory, summary)  # last: a run with a summary lacks nothing
    return summary


def best_metrics(run: Run, rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the metrics of the best evaluation, from the rows of `metrics.jsonl`."""
    best = run.state.best
    row = next((row for row in rows if best and row["step"] == best.step), {})
    return {name: value for name, value in row.items() if "/" in name}


def summarize(run: Run, outcome: str, reason: str, metrics: Mapping[str, float]) -> Summary:
    """Return the content of `summary.json`."""
    state, best = run.state, run.state.best
    rows = len(run.data.splits["train"]) / run.plan.steps_per_epoch
    return {
        "outcome": outcome,
        "reason": reason,
        "steps": state.step,
        "epochs": run.epoch,
        "seconds": state.seconds,
        "samples_per_second": state.step * rows / max(state.seconds, 1e-9),
        "parameters": run.parameters,
        "skipped": state.skipped,
        "rewinds": state.rewinds,
        "monitor": run.config.monitor,
        "best": {"step": best.step, "epoch": best.epoch, "value": best.value} if best else None,
        "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},  # JSON knows no NaN
    }


def write_summary(directory: Path, summary: Summary) -> None:
    """Write `summary.json`; if a run did not finish, why it stopped matters more than that this cannot be written.

    Raises:
        StorageError: If that of a finished run cannot be written.
    """
    try:
        checkpoint_writer.retried(lambda: rundir.write_json(directory / "summary.json", summary), lambda error: None)
    except StorageError as error:
        if summary["outcome"] == "finished":
            advice = f"the run is finished and saved; trainctl resume {shlex.quote(str(directory))} writes it again"
            raise StorageError(f"{error}; {advice}") from error
        warnings.warn(f"no summary: {error}", Advice, stacklevel=1)


def draw(run: Run, directory: Path, rows: Sequence[Mapping[str, Any]], matrix: Sequence[Sequence[int]]) -> None:
    """Write the run's plots; matplotlib is imported only now, as that takes a second."""
    from trainctl.report import plots

    rows = [row for row in rows if "lr" in row]
    plots.curves(rows, directory, run.config.monitor, run.state.best.step if run.state.best else None)
    if matrix:
        plots.confusion(matrix, run.data.schema.class_names, directory / "plots" / "confusion.png")
