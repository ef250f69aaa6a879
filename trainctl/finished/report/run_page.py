"""Gather the page of one run, and draw its pictures as PNG files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trainctl.errors import CheckpointError, DataError, TrainctlError
from trainctl.fileformat.waiting import waiting
from trainctl.finished.open import Finished
from trainctl.finished.record import rises
from trainctl.finished.report import classes, facts, numbers, rows
from trainctl.finished.report.facts import Files
from trainctl.finished.report.measured import Measured, measure, planned
from trainctl.report import chart_plot, curve_charts, phrases
from trainctl.report.chart import Chart
from trainctl.report.curve_charts import Planned
from trainctl.report.document import Block, Cards, Charts, Document, Facts, Prose, Section, Table
from trainctl.run.assemble import assemble
from trainctl.store import parents
from trainctl.store.runpath import AnyPath
from trainctl.train import baseline, cost, first_batch
from trainctl.wording import amount

ELSEWHERE = frozenset({"calibration"})  # charts whose PNG is drawn with more in it
MOST_COUNTED = 40  # classes whose rows are listed


@dataclass
class Gathered:
    """The page of a run.

    Args:
        document: The page.
        trouble: Why it lacks what the model predicts; None if it does not.
        notes: What the user is to know, a line each.
    """

    document: Document
    trouble: TrainctlError | None = None
    notes: list[str] = field(default_factory=list)


def gather(
    files: Files, opened: Callable[[], Finished], folder: AnyPath, *, split: str, which: str, shown: int
) -> Gathered:
    """Return the page of a run; draw each picture into a directory.

    A run whose data or weights cannot be read has a page without what it predicts.

    Args:
        files: The run's files.
        opened: Opens the run.
        folder: The directory of PNG files, in the run.
        split: The split whose rows are shown; empty to choose it.
        which: The weights: ``best`` or ``last``.
        shown: How many mistakes are shown.

    Raises:
        ConfigError: If an option does not suit the run.
        StorageError: If a picture cannot be written.
    """
    document = Document("run", files.name, facts.lead(files), made_by=facts.signature())
    found = Gathered(document)
    measured: Measured | None = None
    try:
        run = opened()
        measured = measure(run, split, which)
        found.notes += run.notes
    except (DataError, CheckpointError) as error:
        found.trouble = error
        document.top.append(Prose(f"This page lacks what the model predicts: {error}", "warning"))
    if measured and not measured.own_data:
        note = "this is not the data that the run was trained with"
        found.notes.append(note)
        document.top.append(Prose(f"Note: {note}.", "warning"))
    document.top += [*facts.why(files), *_first_numbers(files, measured)]
    rates = planned(measured.run, measured.evaluation) if measured else None
    document.sections = [
        Section("Results", _results(files, measured)), _curves(files, rates), *_answers(files, measured, shown, folder),
        _data(files, measured), facts.settings(files), _cost(files, measured), facts.ancestry(files), facts.commands(files),
    ]  # fmt: skip
    _draw(document.charts, folder)
    if measured and not facts.kept_plot(files, "batch"):
        _first_batch(files, measured, folder, found.notes)
    return found


def _first_numbers(files: Files, measured: Measured | None) -> list[Block]:
    """Return the numbers that are read first, and a warning if the model is no better than a trivial one."""
    blocks: list[Block] = []
    summary = files.summary
    split, metrics, ends, trivial, what = _shown(files, measured)
    name = next((key for key in _primary(split) if key in metrics), None)
    items = []
    if name:
        low, high = ends.get(name, (None, None))
        interval = f"95 %: {phrases.number(low)} to {phrases.number(high)}" if low is not None else ""
        items.append((name, phrases.number(metrics[name]), interval))
        if name in trivial:
            items.append((f"{name} of a trivial model", phrases.number(trivial[name]), what))
    if files.record.best is not None:
        at = summary.best
        epoch = f"at epoch {phrases.epochs(at.epoch)}" if at and at.epoch is not None else ""
        items.append(
            (f"best {summary.monitor or files.record.monitor or 'value'}", phrases.number(files.record.best), epoch)
        )
    speed = f"{phrases.count(summary.samples_per_second)} samples/s" if summary.samples_per_second else ""
    items.append(("training time", phrases.duration(files.record.seconds), speed))
    items.append(("parameters", phrases.count(files.record.parameters), files.record.member("model") or ""))
    blocks.append(Cards(items))
    warning = summary.warning
    if measured:
        warning = baseline.no_better(metrics, measured.trivial, measured.evaluation.task, split, ends)
    if warning:
        blocks.append(Prose(f"Warning: {warning}.", "warning"))
    return blocks


def _primary(split: str) -> tuple[str, ...]:
    return tuple(f"{split}/{name}" for name in ("accuracy", "rmse", "mae", "loss"))


def _shown(files: Files, measured: Measured | None) -> tuple[str, dict[str, float], Any, Any, str]:
    """Return the split that is shown, its metrics, their intervals, those of the trivial model, and what that predicts."""
    if measured:
        plain = measured.trivial
        return measured.split, measured.metrics, measured.intervals, plain.metrics, plain.what
    summary = files.summary
    split = "test" if any(name.startswith("test/") for name in summary.metrics) else "val"
    shown = {name: value for name, value in files.record.metrics.items() if name.startswith(f"{split}/")}
    trivial = summary.trivial
    return split, shown, summary.intervals, trivial.metrics if trivial else {}, trivial.what if trivial else ""


def _results(files: Files, measured: Measured | None) -> list[Block]:
    split, metrics, ends, trivial, what = _shown(files, measured)
    if not metrics and not files.record.metrics:
        return [Prose("The run has no evaluation yet.", "note")]
    told = []
    if measured:
        told.append(
            Prose(
                f"Measured on the {amount(measured.rows, f'{split} row')}, with the weights of step {measured.step:,}.",
                "note",
            )
        )
    told += [Prose("The test split was not looked at, as the run is not finished.", "note")] * (
        split == "val" and bool(measured)
    )
    return [facts.metrics(files, split, metrics, ends, trivial, what), *told]


def _curves(files: Files, rates: Planned | None) -> Section:
    """Return the metrics over the epochs, and the learning rate over the steps."""
    evaluations, best = files.evaluations, files.summary.best
    if not evaluations:
        return Section("Curves")
    step = best.step if best else _best_step(files)
    monitor = files.summary.monitor or files.record.monitor or "val/loss"
    charts = curve_charts.metrics(evaluations, monitor, step, files.about())
    rate = curve_charts.learning_rate(evaluations, rates, files.about())
    blocks: list[Block] = [Charts([*charts, *([rate] if rate else [])])]
    if rate is None and (recorded := evaluations[-1].get("lr")) is not None:
        blocks.append(Prose(f"The learning rate was {phrases.setting(recorded)} in every step.", "note"))
    names = list(dict.fromkeys(name for row in evaluations for name in phrases.metrics(row)))
    lines = [
        [
            phrases.epochs(row.get("epoch")),
            phrases.count(row.get("step")),
            *(phrases.number(row.get(name)) for name in names),
        ]
        for row in evaluations[-1000:]
    ]
    marked = frozenset(place for place, row in enumerate(evaluations[-1000:]) if row.get("step") == step)
    right = frozenset(range(len(names) + 2))
    blocks.append(Table(["epoch", "step", *names], lines, right, "The numbers of the curves", marked, folded=True))
    return Section("Curves", blocks)


def _best_step(files: Files) -> int | None:
    """Return the step of the best evaluation of a run without a summary."""
    monitor = files.record.monitor or "val/loss"
    measured = [row for row in files.evaluations if row.get(monitor) is not None and row[monitor] == row[monitor]]
    best = (max if rises(monitor, [files.record]) else min)(measured, key=lambda row: row[monitor], default=None)
    return None if best is None else int(best["step"])


def _answers(files: Files, measured: Measured | None, shown: int, folder: AnyPath) -> list[Section]:
    """Return what the model predicts for the rows of a split."""
    if measured is None:
        return []
    if broken := _not_finite(measured):
        told = f"What the model computes is not finite for {broken:,} of {amount(measured.rows, 'row')}, so its predictions are not drawn."
        return [Section("Predictions", [Prose(told, "warning")])]
    about = files.about(measured.split)
    with waiting("drawing"):
        if measured.results.task == "classification":
            found = classes.sections(measured, about, folder)
        elif measured.results.task == "regression":
            found = numbers.sections(measured, about)
        else:
            found = rows.reconstructions(measured, about, folder)
        return [*found, rows.section(measured, about, shown, folder)]


def _not_finite(measured: Measured) -> int:
    """Return for how many rows the model computes something that is not finite."""
    results = measured.results
    kinds = {"classification": results.confidence, "regression": results.predicted, "reconstruction": results.error}
    broken = ~kinds[results.task].reshape(measured.rows, -1).isfinite()
    return int(broken.any(1).sum())


def _data(files: Files, measured: Measured | None) -> Section:
    """Return what is known of the data: sizes, shapes, classes, columns, notes."""
    section = facts.data(files)
    if measured is None:
        return section
    schema, splits = measured.evaluation.data.schema, measured.evaluation.data.splits
    known = {line.partition(": ")[0] for line in files.facts.data.inferred}  # is listed above
    items = [("samples", f"of shape {' x '.join(map(str, schema.input_shape))}")]
    items += [("task", measured.evaluation.task)] if "task" not in known else []
    items += [("columns", ", ".join(schema.input_names[:60]))] if schema.input_names and "numbers" not in known else []
    items += [("targets", ", ".join(schema.target_names[:60]))] if schema.target_names and "task" not in known else []
    items += [("vocabulary", f"{len(schema.vocabulary):,} tokens")] if schema.vocabulary else []
    section.blocks.insert(1, Facts(items))
    if schema.class_names and not measured.evaluation.data.no_targets:
        section.blocks.insert(2, _class_counts(measured))
    if not any(
        isinstance(block, Facts) and any(label == "rows" for label, _ in block.items) for block in section.blocks
    ):
        sizes = ", ".join(f"{len(each):,} {name}" for name, each in splits.items())
        section.blocks.insert(1, Facts([("rows", sizes)]))
    return section


def _class_counts(measured: Measured) -> Table:
    """Return how many rows each class has in each split."""
    data = measured.evaluation.data
    names = data.schema.class_names
    columns = []
    for split in ("train", "val", "test"):
        total = [0] * len(names)
        for _, targets in data.splits[split].portions(4096):
            known = targets[targets >= 0].cpu()
            total = [one + more for one, more in zip(total, known.bincount(minlength=len(names)).tolist(), strict=True)]
        columns.append(total)
    lines = [[name, *(f"{column[index]:,}" for column in columns)] for index, name in enumerate(names)]
    many = len(names) > MOST_COUNTED
    return Table(["class", "train", "val", "test"], lines, frozenset({1, 2, 3}), "Rows of each class", folded=many)


def _cost(files: Files, measured: Measured | None) -> Section:
    """Return what training has cost, and what a prediction costs."""
    items = facts.cost(files)
    if measured:
        model = measured.evaluation.model
        count, nonzero = cost.counts(model)
        stored = cost.stored_bytes(model)
        with waiting("timing the model"):
            alone, together = (cost.milliseconds(measured.evaluation, size) for size in cost.BATCHES)
        model.eval()
        items += [("size", f"{stored:,} bytes as stored; {nonzero:,} of {count:,} weights are not 0")]
        items += [("a prediction", f"{alone:.3g} ms for one row; {together:.3g} ms a row in batches of 128")]
    return Section("Cost", [Facts(items)])


def _draw(charts: list[Chart], folder: AnyPath) -> None:
    """Draw the charts of a page as PNG files."""
    with waiting("drawing", len(charts), "pictures") as wait:
        for chart in charts:
            if chart.name not in ELSEWHERE:
                chart_plot.draw(chart, folder / f"{chart.name}.png")
            wait.advance()


def _first_batch(files: Files, measured: Measured, folder: AnyPath, notes: list[str]) -> None:
    """Draw the first training batch of a run that has no such picture; only a note says that it cannot be drawn."""
    run = measured.run
    try:
        own = parents.read(run.directory, list(run.config.components))
        again = assemble(run.config, run.schema, own, run.weights(measured.which).fitted)
        first_batch.draw(again, folder / "batch.png", files.about("train"))
    except TrainctlError as error:
        notes.append(f"the first training batch is not drawn: {error}")
