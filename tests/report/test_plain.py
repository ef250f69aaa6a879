"""Plain lines are whole, aligned and free of escape codes, and a stream that breaks does not end the training."""

import io
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from trainctl.components.early_stopping.base import Stopping
from trainctl.report.plain import Plain
from trainctl.run.state import Best

ROOT = Path(__file__).parents[2]
DIRECTORY = Path("runs/x")
FULL = Path("/dev/full")


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def plain(run, stream):
    reporter = Plain(stream)
    reporter.start(run, DIRECTORY, [])
    stream.truncate(0)
    stream.seek(0)
    return reporter


def test_an_evaluation_is_one_line(plain, stream, run, row):
    run.state.best, run.state.stopping = Best(0.1502, 120, 3.0), Stopping(0.1502, 1, 5)
    plain.evaluation(row(3.0, 0.1502))
    assert stream.getvalue() == (
        "epoch  3/20  step 120/800  train/loss 0.0751  train/accuracy 0.9610  val/loss 0.1502  val/accuracy 0.9519 *"
        "  lr 0.001  patience 1/5  1.2 s  45,120 samples/s\n"
    )


def test_only_the_best_evaluation_has_a_star(plain, stream, run, row):
    run.state.best = Best(0.1, 80, 2.0)
    for epoch in (1.0, 2.0, 3.0):
        plain.evaluation(row(epoch))
    assert ["*" in line for line in stream.getvalue().splitlines()] == [False, True, False]


def test_lines_are_aligned(plain, stream, run, row):
    run.state.best = Best(0.1, 40, 1.0)
    for epoch in (1.0, 2.0, 12.0):
        plain.evaluation(row(epoch, 100 / epoch, seconds=1000 / epoch))
    lines = stream.getvalue().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.index("lr") for line in lines}) == 1


def test_patience_is_shown_only_where_a_rule_counts(plain, stream, row):
    plain.evaluation(row(1.0))
    assert "patience" not in stream.getvalue()


def test_a_metric_that_is_not_a_number_is_written_so(plain, stream, row):
    plain.evaluation(row(1.0) | {"val/loss": math.nan, "samples_per_second": math.nan})
    assert "val/loss nan" in stream.getvalue()
    assert "? samples/s" in stream.getvalue()


def test_the_start_says_what_is_trained_and_where(run, stream):
    Plain(stream).start(run, DIRECTORY, [])
    assert stream.getvalue().splitlines()[0] == "run     runs/x"
    assert "mlp, 1,300 parameters" in stream.getvalue()
    assert "resumed" not in stream.getvalue()


def test_how_steps_are_taken_is_a_line_like_those_of_the_header(run, stream):
    Plain(stream).engine("eager: rows are mixed")
    assert stream.getvalue() == "engine  eager: rows are mixed\n"


def test_a_resumed_run_says_from_where(run, stream, row):
    run.state.step = 80
    Plain(stream).start(run, DIRECTORY, [row(1.0), row(2.0)])
    assert "resumed at step 80, after 2 evaluations" in stream.getvalue()


def test_the_finish_ends_with_commands(plain, stream, summary):
    plain.finish(summary)
    assert stream.getvalue().startswith("finished  completed all 20 epochs\nbest ")
    assert "trainctl resume runs/x loop.epochs=40\n" in stream.getvalue()


def test_no_escape_code_of_a_user_reaches_the_stream(run, stream, summary):
    plain = Plain(stream)
    plain.start(run, Path("runs/\x1b[31m"), [])
    plain.note("\x1b]0;title\x07 [bold]")
    plain.finish(summary | {"reason": "\x1b[2J"})
    assert "\x1b" not in stream.getvalue()
    assert "\\x1b]0;title\\x07 [bold]\n" in stream.getvalue()


def test_a_note_that_the_encoding_lacks_is_escaped_and_the_next_line_follows():
    raw = io.BytesIO()
    plain = Plain(io.TextIOWrapper(raw, encoding="ascii"))
    plain.note("Größe")
    plain.note("next")
    assert raw.getvalue().split() == [rb"Gr\xf6\xdfe", b"next"]


def test_each_line_is_flushed():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    Plain(stream).note("now")
    assert raw.getvalue() == b"now" + os.linesep.encode()


def test_a_closed_stream_is_passed_over(run, stream, row, summary):
    plain = Plain(stream)
    plain.start(run, DIRECTORY, [])
    stream.close()
    plain.evaluation(row(1.0))
    plain.note("x")
    plain.finish(summary)
    assert plain.stream is None


def test_a_pipe_without_a_reader_is_passed_over():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        plain = Plain(stream)
        plain.note("x")
        plain.note("y")
        assert plain.stream is None


@pytest.mark.skipif(not FULL.exists(), reason="a full disk, as Linux has it")
def test_a_full_disk_is_passed_over():
    stream = FULL.open("w", encoding="utf-8")
    plain = Plain(stream)
    plain.note("x")
    assert plain.stream is None
    with pytest.raises(OSError, match="No space"):
        stream.close()


@pytest.mark.slow
def test_a_broken_pipe_leaves_the_exit_code_alone():
    code = "import sys; from trainctl.report.plain import Plain; p = Plain(sys.stdout); p.note('x'); p.note('y')"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_close_leaves_the_stream_to_its_owner(plain, stream):
    plain.close()
    plain.close()
    assert not stream.closed


def test_a_budget_of_steps_shows_the_share_of_epochs(make_run, stream, row):
    run = make_run()
    run = replace(run, plan=replace(run.plan, total_steps=100))
    plain = Plain(stream)
    plain.start(run, DIRECTORY, [])
    plain.evaluation(row(0.5))
    assert "epoch 0.50/2.50  step  20/100" in stream.getvalue()


@pytest.mark.slow
def test_plain_lines_need_no_rich():
    code = "import sys, trainctl.report.plain; assert not [name for name in sys.modules if name.split('.')[0] in ('rich', 'matplotlib')]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
