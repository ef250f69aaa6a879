"""The end of a session: test the best weights, draw plots, and write the summary."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from trainctl.components.compress import int8
from trainctl.data.load import IDENTITY
from trainctl.data.rows import SplitName
from trainctl.data.schema import Schema
from trainctl.errors import (
    Advice,
    CheckpointError,
    Interrupted,
    StorageError,
    Terminated,
    TrainctlError,
    UnavailableError,
    lacks_memory,
    out_of_memory,
)
from trainctl.fileformat.boundary import reason as shortly
from trainctl.machine.signals import Terminate
from trainctl.report import curve_charts
from trainctl.report.about import about
from trainctl.run.model import build_model
from trainctl.run.panel import Member, Panel
from trainctl.run.parent import Parent
from trainctl.run.reporter import Reporter, Row
from trainctl.run.run import Run
from trainctl.store import rundir, runpath
from trainctl.store.lock import LostLockError
from trainctl.store.runpath import AnyPath
from trainctl.train import baseline, checkpoint_writer, cost
from trainctl.train.best import alone, best_weights, measure_test_split
from trainctl.train.cost import Cost
from trainctl.train.evaluation import evaluate
from trainctl.wording import shell_words

Summary = dict[str, Any]


def finish(run: Run, directory: AnyPath, reporter: Reporter, reason: str) -> Summary:
    """Test the best weights of a completed run, and conclude it; after a signal, this is done when the run is resumed.

    Raises:
        Interrupted, Terminated: If a signal was received.
        UnavailableError: If memory ran out.
    """
    try:
        metrics, matrix, context = run.world.in_step(lambda: measured(alone(run)))
        summary, rows = record(run, directory, reporter, "finished", reason, metrics, context)
    except KeyboardInterrupt as signal:
        kind = Terminated if isinstance(signal, Terminate) else Interrupted
        raise kind("stopped while testing the trained model; the run is saved") from None
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise UnavailableError(f"{out_of_memory(error)}; the trained run is saved") from error
    draw(run, directory, rows, matrix)
    return summary


def measured(run: Run) -> tuple[dict[str, float], list[list[int]], dict[str, Any]]:
    """Return the metrics and the confusion matrix of the best weights, and what puts them into context.

    Where each process has a share of the weights, all of them call this, and compute the same.
    """
    with best_weights(run):
        metrics, matrix = measure_test_split(run)
        return metrics, matrix, in_context(run, metrics)


def in_context(run: Run, metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the entries of the summary that put the metrics of the test split into context.

    ``trivial`` is what a model reaches that ignores the inputs, ``intervals`` how uncertain the metrics are, ``warning`` is
    there if the model is no better than the trivial one, or not clearly, and ``size`` says what the model costs, if it learned from other
    runs or is smaller than one. Without a test split, it is that of validation.
    """
    tested: SplitName = "test" if len(run.data.splits["test"]) else "val"
    plain = baseline.trivial(run.evaluation, tested)
    reached = metrics or evaluate(run.evaluation, tested)
    ends = baseline.intervals(run.evaluation, tested, reached)
    context: dict[str, Any] = {"trivial": {"what": plain.what, "metrics": finite(plain.metrics)}, "intervals": ends}
    if warning := baseline.no_better(reached, plain, run.task, tested, ends):
        context["warning"] = warning
    if size := size_of_student(run) or size_of_smaller(run):
        context["size"] = size
    return context


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are finite numbers: JSON has no others."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def size_of_student(run: Run) -> dict[str, Any] | None:
    """Return what the model costs and achieves, and what its teachers do; None if it did not learn from other runs."""
    if not isinstance(run.teacher.model, Panel) or run.task == "reconstruction":
        return None
    as_stored = replace(run.data, input_scale=IDENTITY.to(run.device))  # teachers scale rows themselves
    teachers = replace(run.evaluation, model=run.teacher.model, data=as_stored)
    models = [member.model for member in run.teacher.model.members if isinstance(member, Member)]
    own, before = cost.measure(run.evaluation, run.config.monitor), cost.measure(teachers, run.config.monitor, models)
    run.teacher.model.eval()  # an evaluation ends in training mode
    return cost.as_json(own, before)


def size_of_smaller(run: Run) -> dict[str, Any] | None:
    """Return what the model costs, and that from which it was made, if it was compressed or has other widths.

    The latter is left out if it was trained for other outputs.
    """
    compressed = any(member["name"] != "none" for member in run.config.members("compress"))
    origin = next((parent for parent in run.parents if parent.role in ("ranking", "start")), None)
    if not compressed and (origin is None or _weights(origin.model) == _weights(run.model.state_dict())):
        return None
    before = _cost_of_origin(run, origin) if origin and same_rows(origin.schema, run.data.schema) else None
    own = cost.measure(run.evaluation, run.config.monitor)
    return cost.as_json(own, before) | {"zeros": cost.zeros(run.evaluation.model) if compressed else {}}


def _cost_of_origin(run: Run, origin: Parent) -> Cost | None:
    """Return what the model of another run costs on the rows of a run; None if it does another task, as an encoder did."""
    model, task = build_model(origin.config, origin.schema, run.device)
    if task != run.task:
        return None
    model.load_state_dict(origin.model)
    int8.fix(model)
    data = replace(run.data, input_scale=origin.fitted.input_scale.to(run.device))
    return cost.measure(replace(run.evaluation, model=model, data=data), run.config.monitor)


def same_rows(one: Schema, other: Schema) -> bool:
    """Return whether models for two data sets have the same inputs and outputs."""
    return (one.input_shape, one.outputs, one.task, one.class_names, one.target_names) == (
        other.input_shape, other.outputs, other.task, other.class_names, other.target_names,
    )  # fmt: skip


def _weights(named: Mapping[str, Tensor]) -> int:
    return sum(value.numel() for value in named.values())


def conclude(
    run: Run,
    directory: AnyPath,
    reporter: Reporter,
    outcome: str,
    reason: str,
) -> Summary:
    """Write the summary of a session that is not finished, report it, and draw the plots so far."""
    summary, rows = record(run, directory, reporter, outcome, reason)
    draw(run, directory, rows)
    return summary


def record(
    run: Run,
    directory: AnyPath,
    reporter: Reporter,
    outcome: str,
    reason: str,
    metrics: Mapping[str, float] | None = None,
    context: Mapping[str, Any] | None = None,
) -> tuple[Summary, Sequence[Row]]:
    """Report the end of a session and write its summary, whatever happens to the plots.

    Args:
        run: The run at the end of the session.
        directory: Run directory.
        reporter: Receives the summary.
        outcome: ``finished``, ``stopped``, ``interrupted``, ``terminated`` or ``failed``.
        reason: The reason, in words.
        metrics: Metrics of the test split, if they were measured.
        context: Further entries of the summary, see :func:`in_context`.

    Returns:
        The summary, and the rows of `metrics.jsonl`.
    """
    rows: list[dict[str, Any]] = []
    try:
        rows = rundir.read_metrics(directory, None, list(map(rundir.line, reporter.unsaved())))
    except CheckpointError as error:
        warnings.warn(f"no plots, and no metrics in the summary: {error}", Advice, stacklevel=1)
    summary = summarize(run, outcome, reason, {**best_metrics(run, rows), **(metrics or {})}) | dict(context or {})
    try:
        reporter.finish(summary)
        reporter.unsaved()
    finally:
        write_summary(directory, summary)  # after the records: a run with a summary has all of them
    return summary, rows


def best_metrics(run: Run, rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the metrics of the best evaluation, from the rows of `metrics.jsonl`."""
    best = run.state.best
    row = next((row for row in rows if best and row["step"] == best.step), {})
    return {name: value for name, value in row.items() if "/" in name}


def summarize(run: Run, outcome: str, reason: str, metrics: Mapping[str, float]) -> Summary:
    """Return the content of `summary.json`."""
    state, best = run.state, run.state.best
    rows = run.rows_per_step
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
        "metrics": finite(metrics),
    }


def write_summary(directory: AnyPath, summary: Summary) -> None:
    """Write `summary.json`; for an unfinished run, only warn if this fails, so as not to hide why the run stopped.

    Raises:
        StorageError: If the summary of a finished run cannot be written.
    """
    try:
        checkpoint_writer.retried(lambda: rundir.write_json(directory / "summary.json", summary), lambda error: None)
    except LostLockError:
        raise
    except StorageError as error:
        if summary["outcome"] == "finished":
            advice = f"the run is finished and saved; to write the summary: {shell_words(['trainctl', 'resume', str(directory)])}"
            raise StorageError(f"{error}; {advice}") from error
        warnings.warn(f"no summary was written: {error}", Advice, stacklevel=1)


def draw(run: Run, directory: AnyPath, rows: Sequence[Row], matrix: Sequence[Sequence[int]] = ()) -> None:
    """Draw the run's plots, if it wants any; what cannot be drawn is a note, as the run itself is complete.

    Args:
        run: The run at the end of the session.
        directory: Run directory.
        rows: The rows of `metrics.jsonl`.
        matrix: Confusion matrix; drawn if it is not empty.
    """
    if not (run.config.output.plots and rows):
        return
    try:
        from trainctl.report import plots  # matplotlib is imported only now, as that takes a second
        from trainctl.train import first_batch

        name, dataset = directory.name, run.config.parts["dataset"]
        evaluations = [row for row in rows if "lr" in row]
        best = run.state.best.step if run.state.best else None
        if evaluations:
            planned = curve_charts.planned(run)
            plots.curves(evaluations, directory, run.config.monitor, best, planned, about(name, dataset))
        if matrix:
            tested = "test" if len(run.data.splits["test"]) else "val"
            path, names = directory / "plots" / "confusion.png", run.data.schema.class_names
            plots.confusion(matrix, names, path, about(name, dataset, tested))
        batch = directory / "plots" / "batch.png"
        if evaluations and not runpath.kind(batch):  # made without training: no batch; resumed: it is there
            first_batch.draw(run, batch, about(name, dataset, "train"))
    except LostLockError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a library raises
        text = str(error) if isinstance(error, TrainctlError) else shortly(error)
        warnings.warn(f"the plots are incomplete: {text}", Advice, stacklevel=1)
