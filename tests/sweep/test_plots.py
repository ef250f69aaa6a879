"""The plots of a sweep are drawn whatever its settings are called and whatever became of it, or are a note."""

import json
import math
from dataclasses import replace

import pytest

from tests.pictures import is_drawn
from tests.sweep.trials import sweep, trial
from trainctl.report import figure
from trainctl.store import runpath
from trainctl.sweep import plots
from trainctl.sweep.axes import scale_of
from trainctl.sweep.ranking import find_answer

MONITORS = ("val/accuracy", "val/loss")


@pytest.fixture
def figures(monkeypatch):
    """Keep the figures that are written."""
    kept = {}
    write = figure.write

    def keep(drawn, path):
        kept[path.stem] = drawn
        return write(drawn, path)

    monkeypatch.setattr(figure, "write", keep)
    return kept


@pytest.fixture
def trials(tmp_path):
    """Return the trials of a grid of two settings and two seeds, with their curves."""
    made = []
    for point, (rate, name) in enumerate((rate, name) for rate in ("1e-3", "1e-2", "1e-1") for name in ("a_b", "$x$")):
        for seed in range(2):
            value = 0.5 + 0.05 * point + 0.01 * seed * (point % 2)
            values = {"val/accuracy": value, "val/loss": 1 + (value - 0.6) ** 2}
            words = [f"optimizer.lr={rate}", f"model={name}"]
            made.append(trial(point, words, seed, value=value, values=values, directory=tmp_path / f"{point}-{seed}"))
            write_curve(made[-1], [value / 2, value])
    return made


def write_curve(trial, values):
    trial.directory.mkdir()
    rows = [
        json.dumps({"step": n, "epoch": float(n), "val/accuracy": value}) + "\n" for n, value in enumerate(values, 1)
    ]
    (trial.directory / "metrics.jsonl").write_text("".join(rows))


def draw(trials, tmp_path, monitors=MONITORS):
    return plots.draw(find_answer(trials, "val/accuracy", monitors), tmp_path)


@pytest.mark.slow
def test_every_plot_has_a_file(trials, tmp_path):
    files, notes = draw(trials, tmp_path)
    assert notes == []
    assert [file.name for file in files] == [
        "parameters.png",
        "parallel.png",
        "importance.png",
        "curves.png",
        "front.png",
    ]
    for file in files:
        assert is_drawn(file)


def test_the_metric_is_drawn_over_each_setting(trials, tmp_path, figures):
    draw(trials, tmp_path)
    rate, model = figures["parameters"].axes
    assert (rate.get_xlabel(), rate.get_xscale()) == ("optimizer.lr", "log")
    assert [text.get_text() for text in rate.get_xticklabels()] == ["1e-3", "1e-2", "1e-1"]
    assert [text.get_text() for text in model.get_xticklabels()] == ["a_b", "$x$"]
    dots = [line for line in model.get_lines() if line.get_marker() == "o"]
    heights = sorted(float(height) for line in dots for height in line.get_ydata())
    assert dots[-1].get_color() == plots.BEST  # on top
    assert heights == pytest.approx([0.5, 0.555, 0.6, 0.655, 0.7, 0.755])


def test_thousands_of_points_are_drawn_at_once(tmp_path, figures):
    rates = {f"{(1 + number) / 1e4:g}": [0.5 + number / 1e5, 0.6 + number / 1e5] for number in range(2000)}
    draw(sweep(rates), tmp_path)
    (axes,) = figures["parameters"].axes
    assert sum(len(line.get_ydata()) for line in axes.get_lines() if line.get_marker() == "o") == 2000
    assert len(axes.get_lines()) + len(axes.collections) < 10


def test_the_best_is_highlighted_among_all_curves(trials, tmp_path, figures):
    draw(trials, tmp_path)
    lines = figures["curves"].axes[0].get_lines()
    assert len(lines) == 12
    red = [line for line in lines if line.get_color() == plots.BEST]
    assert sorted(float(line.get_ydata()[-1]) for line in red) == pytest.approx([0.75, 0.76])


def test_a_trial_on_another_machine_has_the_curve_that_the_journal_has(tmp_path, figures):
    made = [
        trial(0, ["seed=0"], value=0.7, directory=tmp_path / "0", place="node:/there", curve=((1.0, 0.5), (2.0, 0.7))),
        trial(1, ["seed=1"], value=0.6, directory=tmp_path / "1", curve=((1.0, 0.1),)),  # its files are newer
    ]
    write_curve(made[1], [0.2, 0.6])
    draw(made, tmp_path)
    lines = {line.get_color(): line.get_ydata().tolist() for line in figures["curves"].axes[0].get_lines()}
    assert lines == {plots.BEST: [0.5, 0.7], plots.PALE: [0.2, 0.6]}


def test_there_are_some_hundred_curves_at_most(tmp_path, figures, monkeypatch):
    monkeypatch.setattr(plots, "MOST_LINES", 3)
    trials = [
        replace(each, directory=tmp_path / f"{n}") for n, each in enumerate(sweep({f"{n}": [n / 10] for n in range(9)}))
    ]
    for each in trials:
        write_curve(each, [each.value])
    draw(trials, tmp_path)
    axes = figures["curves"].axes[0]
    assert len(axes.get_lines()) == 4
    assert "(4 of 9 trials)" in figures["curves"].get_suptitle()


def test_the_front_is_drawn_apart(trials, tmp_path, figures):
    draw(trials, tmp_path)
    inside, edge = figures["front"].axes[0].get_lines()
    assert len(inside.get_xdata()) + len(edge.get_xdata()) == 6
    assert 0.755 in edge.get_xdata()


@pytest.mark.slow
@pytest.mark.parametrize(
    "made",
    [
        [],
        [trial(0, [], value=0.5)],
        [trial(0, ["a=1"], value=None, status="failed"), trial(1, ["a=2"], value=math.nan)],
        [trial(point, [f"a={point}"], value=value) for point, value in enumerate((0.5, 1e30, -1e300, 0.5))],
        [trial(0, ["a=1"], value=0.5), trial(1, ["a=2"], value=0.5)],
        [trial(0, ["a=\x1b[31m", f"b={'x' * 300}"], value=0.5), trial(1, [r"a=$\frac{$", "b=数"], value=0.25)],
        [
            trial(0, ["a=-1e400", "b="], value=0.1),
            trial(1, ["a=nan", "c=1"], value=0.2),
            trial(2, ["b=1e-320"], value=0.3),
        ],
        [trial(point, [f"a={point}", f"b=x{point}"], value=point / 7) for point in range(120)],
        [trial(point, [f"k{key}={point * key}" for key in range(40)], value=point / 7) for point in range(5)],
    ],
    ids=["none", "one", "failed", "huge", "equal", "names", "odd numbers", "many values", "many keys"],
)
def test_any_sweep_is_drawn_without_a_note(tmp_path, made):
    assert draw(made, tmp_path)[1] == []


def test_each_data_set_has_plots_of_its_own_also_in_an_open_sweep(tmp_path):
    trials = [
        trial(n, [f"dataset={name}", f"a={n % 2}"], value=n / 9)
        for n, name in enumerate(("iris", "iris", "a/b", "a/b"))
    ]
    files, _ = draw(trials, tmp_path)
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "plots/0-dataset=iris/parameters.png", "plots/1-dataset=a-b/parameters.png",
    ]  # fmt: skip
    (tmp_path / "open").mkdir()
    files, notes = draw(trials, runpath.hold(tmp_path / "open"))
    assert notes == []
    assert [file.path for file in files] == [
        tmp_path / "open" / "plots" / name / "parameters.png" for name in ("0-dataset=iris", "1-dataset=a-b")
    ]


def test_a_plot_that_cannot_be_written_is_a_note(trials, tmp_path):
    (tmp_path / "plots").write_text("a file")
    files, notes = draw(trials, tmp_path)
    assert files == []
    assert len(notes) == 5
    assert all(note.startswith("cannot draw ") and "\n" not in note for note in notes)


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (["1e-2", "1e-4", "1e-3"], "log", ("1e-4", "1e-3", "1e-2")),
        (["8", "16", "64"], "log", ("8", "16", "64")),
        (["0.1", "0.3", "0.2"], "linear", ("0.1", "0.2", "0.3")),
        (["0", "0.1", "0.01"], "linear", ("0", "0.01", "0.1")),
        (["32", "64"], "linear", ("32", "64")),
        (["1", "10"], "log", ("1", "10")),
        (["adam", "sgd"], "category", ("adam", "sgd")),
        (["", "0.9", "0.5"], "category", ("", "0.5", "0.9")),
    ],
)
def test_a_setting_has_the_scale_that_suits_its_values(column, kind, values):
    scale = scale_of(column)
    assert (scale.kind, scale.values) == (kind, values)
    assert sorted(scale.heights(column)) == pytest.approx(sorted(scale.heights(values)))
    assert (scale.heights(values)[0], scale.heights(values)[-1]) == (0, 1)
