"""Plots are drawn for every metric, whatever its values and whatever classes are called."""

import math
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from tests.pictures import is_drawn
from trainctl.errors import StorageError
from trainctl.report import chart_plot, plots
from trainctl.report.curve_charts import Planned


@pytest.fixture
def figures(monkeypatch):
    """Keep the figures that are written."""
    kept = {}
    write = plots._write

    def keep(figure, path):
        kept[path.stem] = figure
        return write(figure, path)

    monkeypatch.setattr(plots, "_write", keep)
    monkeypatch.setattr(chart_plot, "write", keep)
    return kept


def axes(figures, name):
    return figures[name].axes[0]


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.slow
def test_every_metric_and_a_learning_rate_that_changes_have_a_file(tmp_path, row):
    files = plots.curves([row(1.0), row(2.0, lr=0.01)], tmp_path, "val/loss", 40)
    assert files == [tmp_path / "plots" / f"{name}.png" for name in ("loss", "accuracy", "learning_rate")]
    for file in files:
        pixels = imread(file)
        assert pixels.shape[0] in (630, 660)  # 4.2 inches, and 0.2 for a second line of the legend
        assert pixels.shape[1] == 1050  # 7 inches
        assert is_drawn(file)


def test_a_constant_learning_rate_is_not_drawn(tmp_path, row):
    planned = Planned(0.001, lambda step: 1.0, 80)
    for known in (None, planned):
        files = plots.curves([row(1.0), row(2.0)], tmp_path, "val/loss", 40, known)
        assert [file.stem for file in files] == ["loss", "accuracy"]


def test_the_metrics_of_a_regression_have_a_file_each(tmp_path):
    row = {"step": 1, "epoch": 1.0, "lr": 0.1, "train/loss": 1.0, "val/loss": 1.0, "val/mae": 40.0, "val/r2": -3.0}
    names = [file.stem for file in plots.curves([row], tmp_path, "val/r2", 1)]
    assert names == ["loss", "mae", "r2"]


def test_both_splits_are_drawn_with_their_values(tmp_path, row, figures):
    plots.curves([row(1.0, 0.5), row(2.0, 0.25)], tmp_path, "val/loss", None)
    shown = lines(axes(figures, "loss"))
    assert shown["training"].get_xydata().tolist() == [[1, 0.25], [2, 0.125]]
    assert shown["validation"].get_xydata().tolist() == [[1, 0.5], [2, 0.25]]


def test_the_best_step_is_marked_with_its_value_on_the_monitored_metric(tmp_path, row, figures):
    plots.curves([row(1.0, 0.5), row(2.0, 0.25), row(3.0, 0.3)], tmp_path, "val/loss", 80)
    assert lines(axes(figures, "loss"))["best by val/loss: epoch 2, 0.2500"].get_xydata().tolist() == [[2, 0.25]]
    assert set(lines(axes(figures, "accuracy"))["best by val/loss: epoch 2"].get_xdata()) == {2}


@pytest.mark.parametrize(
    ("least", "scale"),
    [(0.5, "linear"), (0.02, "linear"), (0.01005, "linear"), (0.0099, "log"), (-1.0, "linear"), (0.0, "linear")],
)
def test_the_loss_is_on_a_log_scale_where_it_spans_more_than_two_decades(tmp_path, figures, least, scale):
    rows = [{"step": i, "epoch": i, "lr": 0.1, "val/loss": value} for i, value in enumerate((1.0, least))]
    plots.curves(rows, tmp_path, "val/loss", None)
    assert axes(figures, "loss").get_yscale() == scale


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_not_finite_leaves_a_gap(tmp_path, row, figures, value):
    rows = [row(float(epoch), 0.5) for epoch in range(1, 41)]
    rows[1]["val/loss"] = rows[3]["val/loss"] = value
    plots.curves(rows, tmp_path, "val/loss", 40)
    line = lines(axes(figures, "loss"))["validation"]
    assert np.isnan(line.get_ydata()).nonzero()[0].tolist() == [1, 3]
    assert line.get_markevery() == [0, 2]  # points that no line would show


def test_a_run_without_a_finite_value_says_so(tmp_path, row, figures):
    plots.curves([row(1.0, math.nan)], tmp_path, "val/loss", None)
    assert texts(axes(figures, "loss")) == ["no finite value"]


def test_a_run_without_an_evaluation_has_the_planned_rate_at_most(tmp_path):
    assert plots.curves([], tmp_path, "val/loss", None) == []
    planned = Planned(0.1, lambda step: 1 - step / 80, 80)
    assert [file.stem for file in plots.curves([], tmp_path, "val/loss", None, planned)] == ["learning_rate"]


def test_counts_are_written_in_the_cells_and_recall_beside_them(tmp_path, figures):
    plots.confusion([[3, 1, 0], [0, 4, 0], [0, 0, 0]], ["a", "b", "c"], tmp_path / "plots" / "confusion.png")
    cells, recall = figures["confusion"].axes
    placed = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in cells.texts}
    assert placed == {(0, 0): "3", (0, 1): "1", (1, 1): "4", (2, 2): "0"}  # [true, predicted]
    assert texts(recall) == ["75.0 %", "100.0 %", "no samples"]
    assert cells.get_images()[0].get_array().tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert figures["confusion"].get_suptitle().strip() == "Confusion matrix: 7 of 8 correct (87.5 %)"
    assert (cells.get_ylabel(), cells.get_xlabel()) == ("true class", "predicted class")


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "counted"), [(20, True), (21, False), (300, False)])
def test_many_classes_have_colours_only(tmp_path, figures, classes, counted):
    names = [f"class {index}" for index in range(classes)]
    plots.confusion(np.eye(classes, dtype=int).tolist(), names, tmp_path / "confusion.png")
    assert bool(texts(axes(figures, "confusion"))) == counted
    assert len(axes(figures, "confusion").get_xticks()) <= 40


def test_class_names_are_text_not_formulas(tmp_path, figures):
    names = ["$x_1$", r"\frac{", "a_b^", "数字", "\x1b[31m", "n" * 50]
    plots.confusion(np.eye(6, dtype=int).tolist(), names, tmp_path / "confusion.png")
    labels = axes(figures, "confusion").get_yticklabels()
    assert [label.get_text() for label in labels] == ["$x_1$", r"\frac{", "a_b^", "数字", "\\x1b[31m", "n" * 21 + "…"]
    assert not any(label.get_parse_math() for label in [*labels, *axes(figures, "confusion").get_xticklabels()])


def test_the_settings_of_the_user_are_neither_used_nor_changed(tmp_path, row):
    with mpl.rc_context({"text.usetex": True, "figure.facecolor": "black"}):
        before = dict(mpl.rcParams)
        plots.curves([row(1.0)], tmp_path, "val/loss", 40)
        assert dict(mpl.rcParams) == before
    assert imread(tmp_path / "plots" / "loss.png")[0, 0, :3].tolist() == [1, 1, 1]


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path, row):
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(StorageError, match="plots"):
        plots.curves([row(1.0)], tmp_path, "val/loss", 40)


def test_pyplot_and_its_global_state_are_not_imported():
    code = (
        "import sys, pathlib, tempfile; from trainctl.report import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.confusion([[1]], ['a'], pathlib.Path(tempfile.mkdtemp(), 'x.png'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
