"""Numbers, times and commands read well, and nothing a user has typed can drive the terminal or break the shell."""

import math
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from trainctl.report import phrases, run_lines, table
from trainctl.settings.config import Loop


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (0.96104, "0.9610"),  # four decimals below ten
        (-0.5, "-0.5000"),
        (12.3456, "12.346"),  # then five digits
        (2853.19, "2853.2"),
        (28531.9, "28532"),
        (999_999.0, "999999"),
        (0.00042, "4.20e-04"),  # four decimals would leave one digit
        (1e6, "1.00e+06"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (None, "-"),
    ],
)
def test_a_metric_keeps_four_to_five_digits(value, text):
    assert phrases.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1e-9, "0.0 s"),
        (1.23, "1.2 s"),
        (9.96, "10 s"),  # not 10.0 s
        (59.6, "1 min 00 s"),  # not 60 s
        (3599.6, "1 h 00 min"),  # not 60 min
        (7384, "2 h 03 min"),
        (86399.9, "1 d 00 h"),
        (90000, "1 d 01 h"),
        (math.nan, "-"),
        (math.inf, "-"),
        (None, "-"),
    ],
)
def test_a_time_shows_the_two_units_that_matter(seconds, text):
    assert phrases.duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(3.0, "3"), (2.5, "2.50"), (2.999, "3"), (math.nan, "-"), (None, "-")])
def test_an_epoch_has_decimals_only_inside_an_epoch(value, text):
    assert phrases.epochs(value) == text


def test_a_metric_may_have_more_decimals():
    assert [phrases.number(value, 6) for value in (0.1234567, 12.3456789, 3.0)] == ["0.123457", "12.34568", "3.000000"]


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("two\nlines", "utf-8", "two\\nlines"),
        ("\x1b[31mred\x9b0m\r", "utf-8", "\\x1b[31mred\\x9b0m\\r"),  # C0 and C1: both can start a control sequence
        ("n\udcffme", "utf-8", "n\\udcffme"),  # a file name that is not UTF-8
        ("Größe", "latin-1", "Größe"),
        ("Größe 数", "ascii", "Gr\\xf6\\xdfe \\u6570"),
    ],
)
def test_what_a_terminal_cannot_take_is_escaped(text, encoding, shown):
    assert table.printable(text, encoding) == shown


def test_a_spark_line_follows_the_values_and_marks_what_is_not_a_number():
    assert phrases.sparkline([1, 2, None, 3, math.inf, 4], 10, "1234") == "12!3!4"


def test_a_spark_line_of_many_values_is_their_average():
    assert phrases.sparkline([0, 2, 4, 6, 8, 10], 3, "12345") == "135"
    assert phrases.sparkline([0, 2, math.nan, 6, 8, 10], 3, "12345") == "1!5"


def test_a_spark_line_over_more_than_two_decades_is_logarithmic():
    assert phrases.sparkline([1000, 100, 10, 1], 4, "1234") == "4321"
    assert phrases.sparkline([90, 30, 10, 1], 4, "1234") == "4211"


@pytest.mark.parametrize(
    ("values", "wide"),
    [
        ([1, 101], True),
        ([1, 99.5], False),
        ([0, 101], False),
        ([-1, 101], False),
        ([math.nan, 1, 101, math.inf], True),
        ([], False),
    ],
)
def test_two_decades_of_positive_values_are_wide(values, wide):
    assert phrases.is_wide(values) == wide


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [([], 5, ""), ([1, 2], 0, ""), ([1, 2], -3, ""), ([7, 7], 5, "11"), ([math.nan], 5, "!")],
)
def test_a_spark_line_of_next_to_nothing_is_drawn(values, width, shown):
    assert phrases.sparkline(values, width, "1234") == shown


def test_the_header_names_the_parts_of_a_run(run):
    assert phrases.labelled(run_lines.header(run, Path("runs/x"))) == [
        "run     runs/x",
        "device  cpu (2 threads), fp32",
        "model   mlp, 1,300 parameters",
        "data    digits: 1,200 train, 270 val, 1 test; samples of shape 3x4, 3 classes",
    ]


def test_the_closing_says_what_came_out_and_what_to_type_next(run, summary):
    assert phrases.labelled(run_lines.closing(summary, Path("runs/x"), run.config.loop)) == [
        "finished  completed all 20 epochs",
        "best      val/loss 0.1234 at epoch 7, step 280",
        "test      loss 0.2000, accuracy 0.9500",
        "time      3 min 05 s, 800 steps, 20 epochs, 45,120 samples/s",
        "run       runs/x",
        "next      trainctl evaluate runs/x",
        "          trainctl predict runs/x INPUT",
        "          trainctl resume runs/x loop.epochs=40",
        "          trainctl compare runs/x OTHER_RUN",
    ]


@pytest.mark.parametrize("outcome", ["interrupted", "terminated"])
def test_after_an_interruption_the_next_command_is_to_resume_without_a_change(run, outcome):
    assert run_lines.next_commands(Path("runs/x"), outcome, run.config.loop)[0] == "trainctl resume runs/x"


def test_after_a_failure_nothing_is_offered_that_needs_a_checkpoint_that_is_not_there(run, tmp_path):
    assert run_lines.next_commands(tmp_path, "failed", run.config.loop) == []
    (tmp_path / "checkpoints").mkdir()
    assert run_lines.next_commands(tmp_path, "failed", run.config.loop) == ["trainctl resume ."]  # in it
    (tmp_path / "nonfinite.json").write_text("{}")
    assert run_lines.next_commands(tmp_path, "failed", run.config.loop) == [
        "trainctl resume . loop.on_nonfinite=skip",
        "trainctl resume . loop.on_nonfinite=rewind",
    ]


def test_null_in_a_summary_is_not_a_number(run, summary):
    lines = dict(run_lines.closing(summary | {"metrics": {"test/loss": None}}, Path("x"), run.config.loop))
    assert lines["test"] == "loss nan"


def test_an_untested_run_without_a_best_step_has_no_lines_for_them(run, summary):
    lines = run_lines.closing(summary | {"best": None, "metrics": {}}, Path("x"), run.config.loop)
    assert [label for label, _ in lines][:3] == ["finished", "time", "run"]


def test_every_budget_of_a_run_is_doubled(run):
    loop = replace(run.config.loop, max_steps=500, max_time="2.5m")
    assert run_lines.longer(loop) == ["loop.epochs=40", "loop.max_steps=1000", "loop.max_time=5m"]


def test_a_path_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert phrases.pasteable(tmp_path / "a b") == "'a b'"  # relative below the working directory
    assert phrases.pasteable(Path("/elsewhere/x")) == "/elsewhere/x"
    assert phrases.pasteable(Path("-x")) == "./-x"  # not an option
    nasty = 'it\'s $(a) "test"; \\'
    assert shlex.split(phrases.pasteable(Path(nasty))) == [nasty]


@pytest.mark.parametrize("time", ["9" * 400 + "s", "5001d"])
def test_a_time_that_is_refused_when_doubled_is_not_doubled(time):
    loop = Loop(20, None, time, 32, 1024, 1, None, None, None, None, "stop", "auto", False, False)
    assert run_lines.longer(loop) == ["loop.epochs=40"]
