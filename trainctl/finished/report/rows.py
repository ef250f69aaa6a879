"""The rows themselves: the most confident mistakes, the largest errors, and reconstructions."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainctl.data.shown import column_names, excerpt, shown_values
from trainctl.finished import mistakes
from trainctl.finished.mistakes import Places
from trainctl.finished.outcomes import Outcomes
from trainctl.finished.overview import Overview
from trainctl.finished.report.measured import Measured
from trainctl.report import phrases
from trainctl.report.chart import GREY, Chart, Series
from trainctl.report.document import Block, Charts, Gallery, Picture, Section, Table
from trainctl.report.picture import picture
from trainctl.store.runpath import AnyPath
from trainctl.wording import agree, amount

MOST_COLUMNS = 14  # of a table that are shown
LONGEST_TEXT = 400  # characters of a text
WINDOWS = 6  # of a series that are drawn
RECONSTRUCTED = 12  # rows that are compared with their reconstructions
BINS = 30
TITLES = {
    "classification": "Most confident mistakes",
    "regression": "Largest errors",
    "reconstruction": "Worst reconstructions",
}


def worst(results: Outcomes) -> Tensor:
    """Return the numbers of the mistakes, the most confident first; without mistakes, or of numbers, the worst rows."""
    if results.task != "classification" or not results.wrong.any():
        return results.worst()
    rows = results.wrong.nonzero()[:, 0]
    return rows[torch.sort(results.confidence[rows], descending=True, stable=True).indices]


def section(measured: Measured, about: str, shown: int, folder: AnyPath) -> Section:
    """Return the worst rows as a gallery; draw them as `mistakes.png`, too.

    Args:
        measured: The run, measured.
        about: Run, data and split.
        shown: How many rows to show.
        folder: The directory of PNG files.

    Raises:
        StorageError: If the file cannot be written.
    """
    results, task = measured.results, measured.results.task
    rows, title = worst(results)[:shown], TITLES[task]
    if task == "classification" and not results.wrong.any():
        title = "Least certain rows"
    places = Places.of(measured.evaluation.data, measured.split)
    found = Overview(measured.split, measured.rows, folder, about=about)
    mistakes.draw(measured.evaluation, measured.described, results, rows, places, title, found)
    return Section(title, _gallery(measured, rows, places, about))


def _gallery(measured: Measured, rows: Tensor, places: Places, about: str) -> list[Block]:
    """Return rows as images, as texts, as windows, or as the lines of a table."""
    kind, schema = measured.described.kind, measured.evaluation.data.schema
    stored = measured.evaluation.data.splits[measured.split].gather(rows.to(measured.evaluation.device))[0]
    chosen, task = rows.tolist(), measured.results.task
    if kind == "image":
        again = mistakes.reconstructed(measured.evaluation, stored) if task == "reconstruction" else None
        return [Gallery([_picture(measured, one, stored[n], None if again is None else again[n], places)
                         for n, one in enumerate(chosen)])]  # fmt: skip
    headers, answers = _answers(measured, chosen)
    lines = [[places.label(row), *answer] for row, answer in zip(chosen, answers, strict=True)]
    right = frozenset(range(1, len(headers) + 1)) if task != "classification" else frozenset({3, 4})
    if kind == "text":
        texts = [excerpt(row.tolist(), schema.vocabulary, LONGEST_TEXT) for row in stored]
        lines = [[*line, text] for line, text in zip(lines, texts, strict=True)]
        return [Table(["row", *headers, "text"], lines, right)]
    if kind == "series":
        return [
            Charts(_windows(measured, stored[:WINDOWS], chosen, places, about)),
            Table(["row", *headers], lines, right),
        ]
    names, cells = column_names(schema), shown_values(stored.reshape(len(stored), -1).cpu(), schema)
    lines = [[*line, *cell[:MOST_COLUMNS]] for line, cell in zip(lines, cells, strict=True)]
    hidden = len(names) - MOST_COLUMNS
    caption = f"{amount(hidden, 'further column')} {agree(hidden, 'is', 'are')} not shown" if hidden > 0 else ""
    return [Table(["row", *headers, *names[:MOST_COLUMNS]], lines, right, caption)]


def _picture(measured: Measured, row: int, stored: Tensor, again: Tensor | None, places: Places) -> Picture:
    lines = mistakes.caption(measured.results, row, measured.evaluation.data.schema.class_names)
    named = [] if lines[0].startswith("row") else [places.label(row)]
    return Picture(picture(stored), [*lines, *named], None if again is None else picture(again))


def _answers(measured: Measured, rows: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """Return headers, and for each row what is true and what is predicted."""
    results, schema = measured.results, measured.evaluation.data.schema
    if results.task == "classification":
        names = schema.class_names
        cells = [
            [names[int(results.true[row])], names[int(results.predicted[row])], f"{float(results.confidence[row]):.1%}",
             f"{float(results.of_true[row]):.1%}"]
            for row in rows
        ]  # fmt: skip
        return ["true", "predicted", "its probability", "of the true class"], cells
    if results.task == "reconstruction":
        return ["RMSE (scaled units)"], [[phrases.number(float(results.error[row]))] for row in rows]
    if results.true.shape[1] == 1:
        pairs = [(float(results.true[row, 0]), float(results.predicted[row, 0])) for row in rows]
        return ["true", "predicted", "error"], [[f"{t:.5g}", f"{p:.5g}", f"{p - t:+.4g}"] for t, p in pairs]
    return ["RMSE over the targets (scaled units)"], [[phrases.number(float(results.error[row]))] for row in rows]


def _windows(measured: Measured, stored: Tensor, rows: Sequence[int], places: Places, about: str) -> list[Chart]:
    """Return a chart for each window, in its units, with what came and what was predicted if these are next steps."""
    schema, charts = measured.evaluation.data.schema, []
    width, names = schema.input_shape[1], column_names(schema)
    following = (
        measured.results.task == "regression" and len(schema.input_names) == width and not schema.outputs % width
    )
    centre = np.asarray(schema.input_centre or [0.0] * width)
    for number, row in enumerate(rows[: len(stored)]):
        values = stored[number].cpu().double().numpy() + centre
        steps = list(range(len(values)))
        drawn = [Series(names[k] if k < len(names) else str(k), steps, values[:, k].tolist(), "thin", k)
                 for k in range(min(width, 3))]  # fmt: skip
        if following and schema.target_names[:width] == tuple(f"{name}+1" for name in schema.input_names):
            true, said = (
                kind[row].reshape(-1, width)[:, 0].tolist()
                for kind in (measured.results.true, measured.results.predicted)
            )
            ahead = list(range(len(values), len(values) + len(true)))
            drawn += [Series("true", ahead, true, "line", 2), Series("predicted", ahead, said, "line", 1)]
        charts.append(
            Chart(name=f"window_{number}", title=f"Window that ends in {places.label(row)}", about=about, x_label="step of the window",
                  y_label="value", series=tuple(drawn), x_word="step")
        )  # fmt: skip
    return charts


def reconstructions(measured: Measured, about: str, folder: AnyPath) -> list[Section]:
    """Return rows and their reconstructions side by side, and how large the errors are."""
    rows = measured.evaluation.data.splits[measured.split]
    errors = measured.results.error.double().numpy()
    counts, edges = np.histogram(errors, bins=min(BINS, max(5, len(errors) // 5)))
    width = float(edges[1] - edges[0])
    chart = Chart(
        name="errors", title="Errors of the reconstructions", about=about, x_label="RMSE of a row (scaled units)", y_label="rows",
        series=(Series("", edges[:-1].tolist(), counts.astype(float).tolist(), "bars", 0, width),), bottom=0.0, nearest=True,
    )  # fmt: skip
    stored = rows.sample(RECONSTRUCTED)[0]
    again = mistakes.reconstructed(measured.evaluation, stored).cpu()
    every = -(-len(rows) // RECONSTRUCTED)
    chosen = [place * every for place in range(len(stored))]
    blocks: list[Block] = [Charts([chart])]
    if measured.described.kind == "image":
        from trainctl.report import mistake_plots

        shown = [picture(row) for row in stored]
        captions = [(f"row {row}", f"RMSE {errors[row]:.3g}") for row in chosen]
        beside = [picture(row) for row in again]
        mistake_plots.pictures(shown, captions, "Reconstructions", folder / "reconstructions.png", beside, about)
        blocks.append(
            Gallery([Picture(one, pair, other) for one, pair, other in zip(shown, captions, beside, strict=True)])
        )
    elif measured.described.kind == "series":
        blocks.append(Charts(_again_series(measured, stored.cpu(), again, chosen, about)))
    else:
        blocks.append(_again_table(measured, stored.cpu(), again, chosen))
    return [Section("Reconstructions", blocks)]


def _again_series(measured: Measured, stored: Tensor, again: Tensor, rows: Sequence[int], about: str) -> list[Chart]:
    name, steps = column_names(measured.evaluation.data.schema)[0], list(range(stored.shape[1]))
    return [
        Chart(name=f"reconstruction_{number}", title=f"Row {row}: {name}", about=about, x_label="step of the window", y_label=name,
              series=(Series("true", steps, stored[number, :, 0].tolist(), "thin", GREY),
                      Series("reconstruction", steps, again[number, :, 0].tolist(), "thin", 0)), x_word="step")
        for number, row in enumerate(rows[:WINDOWS])
    ]  # fmt: skip


def _again_table(measured: Measured, stored: Tensor, again: Tensor, rows: Sequence[int]) -> Table:
    """Return each row with its reconstruction below it."""
    schema = measured.evaluation.data.schema
    names = column_names(schema)[:MOST_COLUMNS]
    before, after = (shown_values(part.reshape(len(part), -1), schema) for part in (stored, again))
    lines = []
    for row, one, other in zip(rows, before, after, strict=True):
        lines += [[f"row {row}", *one[:MOST_COLUMNS]], ["reconstruction", *other[:MOST_COLUMNS]]]
    return Table(["", *names], lines, caption="Rows, each with its reconstruction below it.")
