"""Charts: one description for a PNG file and for a page, the learning rate of all steps, titles that meet nothing."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from trainctl.fileformat.date import LATEST, written
from trainctl.report import (
    attribution_plots,
    batch_plot,
    chart_plot,
    curve_charts,
    dates,
    mistake_plots,
    overview_plots,
    plots,
)
from trainctl.report.chart import Chart, Mark, Series
from trainctl.report.curve_charts import Planned
from trainctl.report.html import drawing
from trainctl.report.html.element import write

METRICS = sorted((Path(__file__).parents[2] / "trainctl" / "components" / "metric").glob("[a-z]*.py"))
LONG = "a-run-with-a-very-long-name-" * 4


@pytest.fixture
def figures(monkeypatch, tmp_path):
    """Keep the figures that are written, whichever module draws them."""
    kept = {}

    def keep(figure, path):
        figure.canvas.draw()
        kept[path.stem] = figure
        return path

    for module in (chart_plot, mistake_plots, overview_plots, batch_plot, attribution_plots):
        monkeypatch.setattr(module, "write", keep)
    monkeypatch.setattr(plots, "_write", keep)
    return kept


def boxes(figure):
    """Return where the title, the line below it, the axes with their labels, and legends are [pixels]."""
    about = [artist for artist in figure.artists if hasattr(artist, "xyann")]
    title = figure._suptitle.get_window_extent()
    shown = figure._suptitle.get_text().rstrip()
    lines = figure._suptitle.get_text().count("\n") + 1
    title = type(title).from_extents(
        title.x0, title.y1 - title.height * (shown.count("\n") + 1) / lines, title.x1, title.y1
    )
    return {
        "title": [title],
        "about": [one.get_window_extent() for one in about],
        "legend": [legend.get_window_extent() for legend in figure.legends],
        "axes": [axes.get_tightbbox() for axes in figure.axes if axes.axison],
    }


def drawn_in_every_way(tmp_path, about):
    """Draw every kind of picture with long names."""
    import numpy as np

    generator = np.random.default_rng(0)
    rows = [{"step": 10 * n, "epoch": float(n), "lr": 0.1 / n, "train/loss": 1 / n, "val/loss": 2 / n, "val/r2": -1.0 * n}
            for n in range(1, 9)]  # fmt: skip
    plots.curves(rows, tmp_path, "val/loss", 40, Planned(0.1, lambda step: 1 / (1 + step), 100), about)
    names = [f"{LONG}{n}" for n in range(4)]
    plots.confusion(np.eye(4, dtype=int).tolist(), names, tmp_path / "confusion.png", about)
    plots.range_test([1e-4, 1e-3, 1e-2], [3.0, 2.0, 9.0], [3.0, 2.0, 9.0], 1e-3, tmp_path / "range.png")
    mistake_plots.mistaken_classes(
        [(LONG, names[0], names[1], 0.1, 0.9)], "Most confident mistakes", tmp_path / "wrong.png", about
    )
    mistake_plots.mistaken_numbers([(LONG, 1.0, 2.0)], "Largest errors", tmp_path / "far.png", about)
    images = [generator.random((8, 8)) for _ in range(7)]
    captions = [(LONG, LONG)] * 7
    mistake_plots.pictures(images, captions, "Most confident mistakes", tmp_path / "images.png", images, about)
    overview_plots.calibration_of_classes(
        [(3, 0.5, 0.4), (2, 0.9, 1.0)], generator.random(5), np.array([True] * 3 + [False] * 2), 0.1,
        tmp_path / "calibration.png", about,
    )  # fmt: skip
    batch_plot.images(images, [LONG] * 7, f"First training batch: {LONG}", about, tmp_path / "batch.png")
    batch_plot.table(
        names, generator.random((3, 4)), [names] * 3, names[:3], "First training batch", about, tmp_path / "cells.png"
    )
    batch_plot.texts([(LONG, LONG * 9)] * 3, "First training batch", about, tmp_path / "texts.png")
    windows = generator.random((5, 6, 2))
    batch_plot.series(
        windows, windows[:, :2], ["a", LONG], [LONG] * 5, "First training batch", about, tmp_path / "series.png"
    )
    series = tuple(Series(f"{LONG}{n}", [1, 2, 3], [n, 2, 1], colour=n) for n in range(9))
    chart = Chart("many", f"Many runs: {LONG}", about, "epoch", LONG, series, Mark(2, 2, "best"))
    chart_plot.draw(chart, tmp_path / "many.png")
    chart_plot.panel([chart, chart], "Curves of 9 runs", about, tmp_path / "panel.png")


@pytest.mark.slow
def test_titles_name_what_they_are_about_and_meet_nothing(tmp_path, figures):
    about = f"{LONG} · penguins.csv · test rows"
    drawn_in_every_way(tmp_path, about)
    assert len(figures) >= 15
    for name, figure in figures.items():
        found = boxes(figure)
        width, height = figure.canvas.get_width_height()
        assert bool(found["about"]) == (name != "range"), name
        upper = [*found["title"], *found["about"]]
        for box in [*upper, *found["legend"]]:
            assert box.x0 >= 0, name
            assert box.x1 <= width + 1, name
            assert box.y0 >= -1, name
            assert box.y1 <= height + 1, name
        for box in upper:
            for other in [*found["legend"], *found["axes"]]:
                assert not box.overlaps(other), name
        if found["about"]:
            assert not found["title"][0].overlaps(found["about"][0]), name
            assert found["about"][0].y1 <= found["title"][0].y0 + 2, name


def rows_of(*rates, every=10):
    return [{"step": every * n, "epoch": float(n), "lr": rate} for n, rate in enumerate(rates, 1)]


def test_the_learning_rate_is_that_of_each_step():
    planned = Planned(0.1, lambda step: 1.0 if step < 5 else 0.5, 20)
    chart = curve_charts.learning_rate(rows_of(0.05, 0.05), planned, "x")
    (line,) = chart.series
    assert list(line.x) == list(range(20))
    assert line.y == [0.1] * 5 + [0.05] * 15


def test_a_rate_that_evaluations_have_changed_is_drawn_as_it_was():
    chart = curve_charts.learning_rate(rows_of(0.1, 0.05, 0.05), Planned(0.1, lambda step: 1.0, 30), "x")
    (line,) = chart.series
    assert line.y == [0.1] * 10 + [0.05] * 20


def test_what_is_left_of_a_run_that_was_stopped_is_drawn_as_planned():
    chart = curve_charts.learning_rate(rows_of(0.09), Planned(0.1, lambda step: 1 - step / 90, 90), "x")
    taken, rest = chart.series
    assert (taken.x[-1], rest.x[0], rest.x[-1], rest.kind) == (9, 10, 89, "dashed") or (taken.x[-1], rest.x[0]) == (
        9,
        10,
    )
    assert rest.y[-1] == pytest.approx(0.09 / (1 - 9 / 90) * (1 - 89 / 90))


def test_a_schedule_that_follows_the_clock_is_drawn_at_its_evaluations():
    chart = curve_charts.learning_rate(rows_of(0.1, 0.02), Planned(0.1, lambda step: 1.0, 100, by_step=False), "x")
    assert chart.series[0].x == [10.0, 20.0]


@pytest.mark.parametrize(
    "planned", [None, Planned(0.1, lambda step: 1.0, 10**6), Planned(0.0, lambda step: 0.5**step, 9)]
)
def test_what_is_constant_is_not_drawn(planned):
    rate = 0.0 if planned and not planned.base else 0.1
    assert curve_charts.learning_rate(rows_of(rate, rate), planned, "x") is None


def test_runs_are_drawn_over_each_other_by_metric():
    runs = {
        "a": [{"epoch": 1.0, "val/loss": 0.5, "train/loss": 1.0}],
        "b": [{"epoch": 1.0, "val/loss": math.nan}],
        "c": [],
    }
    (chart,) = curve_charts.over_each_other(runs, "digits")
    assert (chart.name, chart.about, [series.name for series in chart.series]) == ("loss", "digits · validation", ["a"])


@pytest.mark.parametrize("days", [0.001, 0.3, 2, 9, 40, 400, 4_000, 90_000, 3_652_000])
def test_dates_on_an_axis_are_few_round_and_told_apart(days):
    for low in (0.0, 738_000.3):
        found = dates.ticks(low, min(low + days, LATEST), 7)
        places, texts = [place for place, _ in found], [text for _, text in found]
        assert 1 <= len(found) <= 7
        assert places == sorted(places)
        assert len({*texts}) == len(texts)
        assert low - 1e-9 <= places[0] <= places[-1] <= low + days + 1e-9


def test_a_chart_over_dates_names_them_in_both_forms(figures, tmp_path):
    days = [738_000.0 + day for day in range(60)]
    texts = {day: written(day) for day in days}
    chart = Chart("dated", "t", "", "date", "sales", (Series("true", days, days),), dates=True, x_texts=texts)
    chart_plot.draw(chart, tmp_path / "dated.png")
    page = "".join(write(drawing.figure(chart)))
    named = [label.get_text() for label in figures["dated"].axes[0].get_xticklabels()]
    assert named == [text for _, text in dates.ticks(*chart.x_range(), 7)]
    assert all(f">{text}</text>" in page for _, text in dates.ticks(*chart.x_range(), 6))
    assert "2021-07-30" in page
    assert "738" not in "".join(named)


def test_only_whole_rows_are_counted_and_a_single_place_is_named_once(figures, tmp_path):
    bars = Chart("bars", "t", "", "error", "rows", (Series("", [0.0, 1.0], [1.0, 3.0], "bars", width=1.0),), bottom=0.0)
    alone = Chart("alone", "t", "", "epoch", "loss", (Series("a", [0.075], [2.0]),), x_word="epoch")
    for chart in (bars, alone):
        chart_plot.draw(chart, tmp_path / f"{chart.name}.png")
    assert all(tick == int(tick) for tick in figures["bars"].axes[0].get_yticks())
    named = re.findall(r'text-anchor="end" class="tick">([^<]*)<', "".join(write(drawing.figure(bars))))
    assert named == ["0", "1", "2", "3"]
    assert re.findall(r'text-anchor="middle" class="tick">([^<]*)<', "".join(write(drawing.figure(alone)))) == ["0.075"]


def test_each_line_is_named_and_the_last_may_be_named_first():
    lines = (Series("one", [1.0], [1.0]), Series("two", [1.0], [2.0]))

    def legend(chart):
        return re.findall(r"</span>(\w+)</li>", "".join(write(drawing.figure(chart))))

    assert legend(Chart("a", "t", "", "x", "y", lines)) == ["one", "two"]
    assert legend(Chart("a", "t", "", "x", "y", lines, last_first=True)) == ["two", "one"]
    assert legend(Chart("a", "t", "", "x", "y", lines[1:])) == ["two"]


@pytest.mark.parametrize("name", [path.stem for path in METRICS if path.stem not in ("base", "none", "top_k")])
def test_every_metric_of_ours_has_a_title_of_its_own(name):
    title, label = curve_charts.titles(name)
    assert title[0].isupper()
    assert "_" not in title + label


@pytest.mark.parametrize("kind", ["image", "table", "series", "text"])
def test_pictures_of_attributions_name_the_run_and_titles_of_rows_stay_inside(figures, tmp_path, kind):
    long = "a name that is rather long, as in files"
    shape, names = {
        "image": ((8, 8), ()),
        "table": ((3,), (long, "b", "c")),
        "series": ((5, 2), ("a", "b")),
        "text": ((3,), ("x", "y", "z")),
    }[kind]
    values = np.linspace(-1, 1, math.prod(shape)).reshape(shape)
    drawn = [attribution_plots.Drawn(f"row {row}: predicted {LONG}", values, names, values) for row in range(4)]
    attribution_plots.rows(drawn, kind, "attribution", "Occlusion", "my-run · rows.csv", tmp_path / "rows.png")
    figure = figures["rows"]
    assert any(getattr(artist, "get_text", str)() == "my-run · rows.csv" for artist in figure.get_children())
    right = figure.bbox.x1
    boxes = [axes.title.get_window_extent() for axes in figure.axes] + [
        axes._left_title.get_window_extent() for axes in figure.axes
    ]
    assert all(box.x1 <= right for box in boxes)


def test_the_legend_of_a_calibration_meets_no_point(figures, tmp_path):
    bins = [(9, 0.05, 1.0), (9, 0.3, 0.95), (9, 0.9, 0.05)]
    confidence, right = np.full(27, 0.5), np.arange(27) % 2 == 0
    overview_plots.calibration_of_classes(bins, confidence, right, 0.5, tmp_path / "calibration.png", "x")
    figure = figures["calibration"]
    assert all(axes.get_legend() is None for axes in figure.axes)
    (legend,) = figure.legends
    assert not any(axes.get_window_extent().overlaps(legend.get_window_extent()) for axes in figure.axes)
