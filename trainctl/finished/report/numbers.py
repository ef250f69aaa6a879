"""The charts and tables of a regression: predicted against true values, residuals, and forecasts over time."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainctl.data.centre import add
from trainctl.fileformat.date import written
from trainctl.finished import calibration
from trainctl.finished.evaluate import target_scores
from trainctl.finished.report.measured import Measured
from trainctl.report import phrases
from trainctl.report.chart import GREY, Chart, Series
from trainctl.report.document import Block, Charts, Section, Table
from trainctl.step.eager import scaled
from trainctl.train.baseline import trivial_model
from trainctl.train.evaluation import measure
from trainctl.wording import amount

MOST_TARGETS = 4  # that have charts of their own
MOST_DOTS = 2000
BINS = 30  # of the histogram
LONGEST_SERIES = 300  # steps of a forecast that are drawn


def sections(measured: Measured, about: str) -> list[Section]:
    """Return the sections of a regression."""
    schema = measured.evaluation.data.schema
    names = schema.target_names or tuple(map(str, range(schema.outputs)))
    found = [Section("Forecasts", _forecasts(measured, about))] if _steps(measured) else []
    blocks: list[Block] = []
    for index, name in enumerate(names[:MOST_TARGETS]):
        said, true = measured.results.predicted[:, index].numpy(), measured.results.true[:, index].numpy()
        suffix = f"_{index}" if len(names) > 1 else ""
        charts = [
            _against(measured, said, true, name, suffix, about), _histogram(said - true, name, suffix, about),
            _residuals(measured, said, true, name, suffix, about),
        ]  # fmt: skip
        blocks.append(Charts([replace(each, title=f"{each.title} of {name}") for each in charts] if suffix else charts))
    table = _by_target(measured)
    return [*found, Section("Predicted and true", [*blocks, *([table] if table else [])])]


def _by_target(measured: Measured) -> Table | None:
    """Return the metrics of each of several targets."""
    scored = target_scores(measure(measured.evaluation, measured.split).sums, measured.evaluation.data.schema)
    measured.evaluation.model.eval()
    if not scored:
        return None
    rows = [[one.name, phrases.number(one.mae), phrases.number(one.rmse), phrases.number(one.r2)] for one in scored]
    return Table(["target", "MAE", "RMSE", "R²"], rows, frozenset({1, 2, 3}), "Each target, in its unit.")


def _dots(measured: Measured, x: np.ndarray, y: np.ndarray, said: np.ndarray, true: np.ndarray) -> Series:
    """Return a dot for each row, of many rows evenly spaced ones."""
    every = max(1, -(-len(x) // MOST_DOTS))
    rows = range(0, len(x), every)
    lines = measured.evaluation.data.lines.get(measured.split)
    places = [f"row {row}" if lines is None else f"line {int(lines[row])}" for row in rows]
    texts = [
        f"{place}: true {true[row]:.5g}, predicted {said[row]:.5g}" for place, row in zip(places, rows, strict=True)
    ]
    return Series("rows", x[::every].tolist(), y[::every].tolist(), "dots", 0, texts=texts)


def _against(measured: Measured, said: np.ndarray, true: np.ndarray, name: str, suffix: str, about: str) -> Chart:
    """Return the predicted over the true values, and the means of similar predictions."""
    low, high = float(min(said.min(), true.min())), float(max(said.max(), true.max()))
    bins = calibration.by_prediction(said.astype(float), true.astype(float))
    means = Series("means of similar predictions", [one.true for one in bins], [one.said for one in bins], "line", 1)
    drawn = (
        Series("perfect", [low, high], [low, high], "dashed", GREY),
        _dots(measured, true, said, said, true),
        means,
    )
    error = calibration.expected_error(bins)
    return Chart(
        name=f"predicted{suffix}", title="Predicted and true values", about=about, x_label=f"true {name}",
        y_label=f"predicted {name}", series=drawn, square=True, nearest=True,
        note=f"Mean distance of similar predictions from the mean of their true values: {phrases.number(error)}.",
    )  # fmt: skip


def _residuals(measured: Measured, said: np.ndarray, true: np.ndarray, name: str, suffix: str, about: str) -> Chart:
    """Return the errors over the predicted values: a pattern in them is something that the model has not learned."""
    zero = Series("", [float(said.min()), float(said.max())], [0.0, 0.0], "dashed", GREY)
    return Chart(
        name=f"residuals{suffix}", title="Residuals", about=about, x_label=f"predicted {name}",
        y_label="predicted - true", series=(zero, replace(_dots(measured, said, said - true, said, true), name="")), nearest=True,
    )  # fmt: skip


def _histogram(errors: np.ndarray, name: str, suffix: str, about: str) -> Chart:
    """Return how often errors of each size are."""
    counts, edges = np.histogram(errors, bins=min(BINS, max(5, len(errors) // 5)))
    width = float(edges[1] - edges[0])
    texts = [
        f"{low:.4g} to {low + width:.4g}: {amount(count, 'row')}" for low, count in zip(edges.tolist(), counts.tolist(), strict=False)
    ]  # fmt: skip
    bars = Series("", edges[:-1].tolist(), counts.astype(float).tolist(), "bars", 0, width, texts)
    note = (
        f"Mean error {phrases.number(float(errors.mean()))}, standard deviation {phrases.number(float(errors.std()))}."
    )
    return Chart(
        name=f"errors{suffix}", title="Distribution of the errors", about=about, x_label=f"predicted - true {name}",
        y_label="rows", series=(bars,), bottom=0.0, nearest=True, note=note,
    )  # fmt: skip


def _steps(measured: Measured) -> int:
    """Return how many steps ahead are forecast; 0 if the rows are not windows whose targets are their next steps."""
    schema = measured.evaluation.data.schema
    width = schema.input_shape[-1]
    if len(schema.input_shape) != 2 or not schema.input_names or schema.outputs % width:
        return 0
    steps = schema.outputs // width
    expected = tuple(f"{name}+{step}" for step in range(1, steps + 1) for name in schema.input_names)
    return steps if schema.target_names == expected else 0


def _forecasts(measured: Measured, about: str) -> list[Block]:
    """Return the forecasts over time, and the error by how far they look ahead."""
    schema, steps = measured.evaluation.data.schema, _steps(measured)
    plain, what = _trivial(measured)
    charts = []
    for column, name in enumerate(schema.input_names[:MOST_TARGETS]):
        charts.append(_over_time(measured, plain, what, column, name, about))
        if steps > 1:
            charts.append(_by_lead(measured, plain, what, column, name, about))
    return [Charts(charts)]


@torch.no_grad()
def _trivial(measured: Measured) -> tuple[np.ndarray, str]:
    """Return what the trivial model forecasts ``(N, H * F)`` in the units of the targets, and what it does."""
    evaluation, parts = measured.evaluation, []
    model, what = trivial_model(evaluation)
    model = model.to(evaluation.device)
    for stored, targets in evaluation.data.splits[measured.split].portions(evaluation.batch_size):
        parts.append(model(scaled(evaluation, stored, targets)[0]).float())
    values, units = torch.cat(parts), evaluation.data.target_scale
    numbers: np.ndarray = (
        add(units.inverse(values) if units else values, evaluation.data.schema.target_centre).cpu().numpy()
    )
    return numbers, what


def _over_time(measured: Measured, plain: np.ndarray, what: str, column: int, name: str, about: str) -> Chart:
    """Return what was forecast one step ahead, next to what came; of a long split the end."""
    said, true = measured.results.predicted[:, column].numpy(), measured.results.true[:, column].numpy()
    start = max(0, len(said) - LONGEST_SERIES)
    end = f", the last {LONGEST_SERIES:,} rows" if start else ""
    places, axis = _when(measured, start, end)
    drawn = (
        Series(f"trivial: {what}", places, plain[start:, column].tolist(), "thin", GREY),
        Series("true", places, true[start:].tolist(), "line", 2), Series("predicted", places, said[start:].tolist(), "line", 0),
    )  # fmt: skip
    return Chart(
        name=f"forecast_{column}", title=f"Forecasts of {name}, one step ahead", about=about,
        y_label=name, series=drawn, **axis,
    )  # fmt: skip


def _when(measured: Measured, start: int, end: str) -> tuple[list[float], dict[str, Any]]:
    """Return where the rows of a split from one on are on the axis of time, and the settings of the axis.

    They are the dates, or the numbers, of the column that orders the rows; without one, the numbers of the rows.
    """
    data = measured.evaluation.data
    times = data.times.get(measured.split)
    values = None if times is None else times.values[start:].numpy().round(9)
    if times is None or values is None or np.any(np.diff(values) <= 0):
        places = [float(row) for row in range(start, len(measured.results.true))]
        ends = data.lines.get(measured.split)
        texts = {} if ends is None else {place: f"after line {int(ends[int(place)])}" for place in places}
        return places, {"x_label": f"row, in order of time{end}", "x_word": "row", "x_texts": texts}
    axis: dict[str, Any] = {"x_label": f"{times.column}{end}", "dates": times.dated}
    if times.dated:
        axis["x_texts"] = {place: written(place) for place in values.tolist()}
    return values.tolist(), axis


def _by_lead(measured: Measured, plain: np.ndarray, what: str, column: int, name: str, about: str) -> Chart:
    """Return the mean absolute error of each step ahead."""
    width = measured.evaluation.data.schema.input_shape[-1]
    said, true = measured.results.predicted.numpy()[:, column::width], measured.results.true.numpy()[:, column::width]
    steps = [float(step) for step in range(1, said.shape[1] + 1)]
    drawn = (
        Series(f"trivial: {what}", steps, np.abs(plain[:, column::width] - true).mean(0).tolist(), "dashed", GREY),
        Series("model", steps, np.abs(said - true).mean(0).tolist(), "line", 0),
    )
    return Chart(
        name=f"lead_{column}", title=f"Error of {name} by steps ahead", about=about, x_label="steps ahead",
        y_label="mean absolute error", series=drawn, bottom=0.0, x_word="step ahead",
    )  # fmt: skip
