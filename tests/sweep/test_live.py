"""The live view of a sweep fits its terminal and shows the best, what runs and what failed; elsewhere events are lines."""

import io
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.control import strip_control_codes

from tests.sweep.trials import trial
from trainctl.sweep.live import Lines, Live, Progress, watch
from trainctl.sweep.view import Limits, View

HOME = Path("runs/20260101-120000-sweep-a1b2c3")
MONITOR = "val/accuracy"


def terminal(width=110, height=35, file=None, **settings):
    return RichConsole(file=file or io.StringIO(), force_terminal=True, width=width, height=height, **settings)


def frame(view, width=110, height=35):
    """Return the lines of one frame."""
    console = terminal(width, height, color_system=None)
    text = "".join(segment.text for segment in console.render(view, console.options))
    return [line.rstrip() for line in text.splitlines()]


def plain(text):
    return strip_control_codes(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))


def trials():
    """Return a sweep that is half done: 3 finished, 2 running, 1 paused, 1 failed, 5 waiting."""
    statuses = ["finished"] * 3 + ["running"] * 2 + ["paused", "failed"] + ["waiting"] * 5
    return [
        trial(
            point, [f"optimizer.lr=0.{point}"], 0, status=status, value=None if status == "waiting" else 0.5 + point / 100,
            reason="the loss is nan" if status == "failed" else "", log=HOME / f"{point}.log",
        )
        for point, status in enumerate(statuses)
    ]  # fmt: skip


def view_of(made, seconds=60.0, encoding="utf-8"):
    """Return the view of a sweep, so many seconds after its start, with progress of its running trials."""
    now = [0.0]
    view = View(
        HOME, MONITOR, [replace(each, status="waiting") for each in made], encoding, lambda: now[0], maximize=True
    )
    view.trials = made
    now[0] = seconds
    view.running = tuple(
        Progress(each, 3.0 + n, 10.0, None, [{"epoch": e, MONITOR: 0.1 * e} for e in (1, 2, 3)], seconds - 6.0, 1.0)
        for n, each in enumerate(each for each in made if each.status == "running")
    )
    return view


def test_a_frame_shows_progress_the_best_what_runs_and_what_failed():
    assert frame(view_of(trials())) == [
        f"sweep   {HOME}",
        "━" * 39 + "─" * 61 + "  39 %",
        "running 2   waiting 5   paused 1   finished 3   failed 1   of 12   time 1 min 00 s   eta 1 min 20 s",
        "best    ★ val/accuracy 0.5500  optimizer.lr=0.5 seed=0",
        "",
        "━━━─────────  3/10  21 s  ▁▄█  0.3000  optimizer.lr=0.3 seed=0",
        "━━━━────────  4/10  12 s  ▁▄█  0.3000  optimizer.lr=0.4 seed=0",
        "",
        "failed  optimizer.lr=0.6 seed=0: the loss is nan",
    ]


@pytest.mark.parametrize("width", [20, 40, 69, 80, 110, 300])
@pytest.mark.parametrize("count", [0, 1, 12, 120])
def test_a_frame_fits_its_terminal(width, count):
    made = (trials() * 10)[:count]
    for number, each in enumerate(made):
        made[number] = replace(each, words=(*each.words, f"name={'数' * 40}"))
    for height in (1, 2, 3, 5, 8, 12, 24, 60):
        lines = frame(view_of(made), width, height)
        assert len(lines) <= max(1, height - 1)
        assert max(map(cell_len, lines), default=0) <= width
        assert not any("no live view" in line for line in lines)


@pytest.mark.parametrize("height", [24, 9, 6])
def test_what_does_not_fit_is_counted(height):
    made = trials() * 10
    lines = frame(view_of(made), 110, height)
    shown = sum(bool(re.match("[━─]{12} ", line)) and "/10" in line for line in lines)
    more = next((int(match[1]) for line in lines if (match := re.search(r"and (\d+) more running", line))), 0)
    assert shown + more == 20 or (shown, more) == (0, 0)
    assert len(lines) < height
    assert any("best" in line for line in lines)


def test_a_paused_rung_is_the_next_end_of_a_trial():
    progress = Progress(trial(), 2.0, 27.0, 3.0, (), began=0.0, began_at=1.0)
    assert progress.fraction == pytest.approx(2 / 3)
    assert progress.remaining(10.0) == pytest.approx(10.0)


@pytest.mark.parametrize("progress", [Progress(trial(), 0.0, 10.0, began=0.0), Progress(trial(), 5.0, None, began=0.0)])
def test_the_time_left_is_unknown_before_the_first_epoch_or_without_an_end(progress):
    assert progress.remaining(10.0) is None


def test_trials_that_were_over_before_do_not_count_for_the_speed():
    made = [trial(point, status="finished") for point in range(90)] + [
        trial(90 + n, status="waiting") for n in range(10)
    ]
    now = [0.0]
    view = View(HOME, MONITOR, made, "utf-8", lambda: now[0], maximize=True)
    now[0] = 10.0
    assert "eta ?" in "\n".join(frame(view))
    made[90] = replace(made[90], status="finished")
    assert "eta 1 min 30 s" in "\n".join(frame(view))


def test_the_best_is_finite_not_failed_and_did_not_only_confirm():
    made = [
        trial(0, ["a=0"], value=0.5), trial(1, ["a=1"], value=math.nan), trial(2, ["a=2"], value=0.9, status="failed"),
        trial(3, ["a=3"], value=0.95, confirms=True),
    ]  # fmt: skip
    assert "val/accuracy 0.5000  a=0" in "\n".join(frame(view_of(made)))


def test_a_terminal_that_knows_only_ascii_gets_ascii():
    assert "\n".join(frame(view_of(trials(), encoding="ascii"))).isascii()


def test_no_setting_controls_the_terminal():
    made = [replace(each, words=("a=\x1b[31m",), reason="\x1b]0;x\x07") for each in trials()]
    assert "\x1b" not in "\n".join(frame(view_of(made)))


def test_an_error_in_a_frame_is_shown_instead_of_it():
    view = view_of(trials())
    view.trials = None
    assert frame(view)[0].startswith("no live view: TypeError")


def test_a_failure_stays_above_the_view_with_its_log_and_the_cursor_returns():
    out, made = io.StringIO(), trials()
    live = Live(terminal(file=out), HOME, MONITOR, made, maximize=True)
    live.started(made[3])
    live.running([Progress(made[3], 1.0, 10.0)])
    live.ended(made[6])
    live.close()
    live.close()
    text = out.getvalue()
    assert "FAILED    point 6: optimizer.lr=0.6 seed=0: the loss is nan (log: " in plain(text)
    assert text.count("\x1b[?25h") == 1


class Broken(io.StringIO):
    def write(self, text):
        raise OSError(5, "Input/output error")


def test_a_terminal_that_disappears_does_not_end_the_sweep():
    for watcher in (
        Live(terminal(file=Broken()), HOME, MONITOR, trials(), maximize=True),
        Lines(Broken(), MONITOR, trials()),
    ):
        watcher.started(trials()[0])
        watcher.ended(trials()[6])
        watcher.note("text")
        watcher.close()


def test_trials_that_are_chosen_one_by_one_are_counted_before_they_are_known():
    out = io.StringIO()
    watch(out, HOME, MONITOR, trials(), maximize=True, limits=Limits(None, 40)).ended(trials()[0])
    assert out.getvalue().endswith("[4 of 40 trials, 1 failed]\n")


def test_off_a_terminal_each_event_is_a_line():
    out, made = io.StringIO(), trials()
    watcher = watch(out, HOME, MONITOR, made, maximize=True)
    watcher.started(replace(made[0], step=0))
    watcher.started(made[3])
    watcher.started(replace(made[3], step=0), 1200)
    watcher.rung(replace(made[3], rungs={3: 0.5}), 3)
    watcher.running([])
    watcher.ended(made[0])
    watcher.ended(replace(made[5], epoch=3.0, reason="not in the top"))
    watcher.ended(replace(made[6], reason="killed by\nsignal 9", log=Path("sweep/6.log")))
    watcher.note("workers: 2")
    watcher.close()
    watcher.note("nothing")
    assert out.getvalue().splitlines() == [
        "start     point 0: optimizer.lr=0.0 seed=0",
        "start     point 3: optimizer.lr=0.3 seed=0, continued at epoch 10",
        "start     point 3: optimizer.lr=0.3 seed=0, continued at step 1,200",
        "rung      point 3: optimizer.lr=0.3 seed=0: epoch 3, val/accuracy 0.5000",
        "finished  point 0: optimizer.lr=0.0 seed=0: val/accuracy 0.5000, 10 s  [4 of 12 trials, 1 failed]",
        "paused    point 5: optimizer.lr=0.5 seed=0: val/accuracy 0.5500 at epoch 3, 10 s; not in the top  [4 of 12 trials, 1 failed]",
        "FAILED    point 6: optimizer.lr=0.6 seed=0: killed by signal 9 (log: sweep/6.log)  [4 of 12 trials, 1 failed]",
        "workers: 2",
    ]


def test_the_time_left_is_that_of_the_limit_if_it_comes_first():
    made = trials()
    view = view_of(made)  # 60 s after its start
    without = frame(view)
    assert any(re.search(r"eta +\d+ min", line) for line in without)
    view.limits = Limits(90.0, 0)
    assert any("eta 30 s (sweep.max_time)" in re.sub(" +", " ", line) for line in frame(view))
    view.limits = Limits(900000.0, 0)
    assert frame(view) == without
    view.limits = Limits(50.0, 0)
    assert any("eta 0.0 s (sweep.max_time)" in re.sub(" +", " ", line) for line in frame(view))


def test_only_a_clock_ends_a_sweep_that_draws_more_and_more_points():
    view = view_of(trials())
    view.limits = Limits(600.0, None)
    assert any("eta 9 min 00 s (sweep.max_time)" in re.sub(" +", " ", line) for line in frame(view))
    view.limits = Limits(None, None)
    assert any(re.search(r"eta +\?", line) for line in frame(view))


def test_points_that_are_added_one_by_one_are_counted_from_the_start():
    view = view_of(trials())
    before = view.remaining(Counter(each.status for each in view.trials), 60.0)
    view.limits = Limits(None, 24)
    assert any(re.search(r"of +24\b", line) for line in frame(view))
    assert view.remaining(Counter(each.status for each in view.trials), 60.0) > 1.5 * before


def test_a_running_trial_can_be_the_best_before_any_has_ended():
    view = View(
        HOME,
        MONITOR,
        made := [trial(n, [f"optimizer.lr=0.{n}"], 0, status="running", value=None) for n in (1, 2)],
        "utf-8",
        maximize=True,
    )
    assert not any("best" in line for line in frame(view))
    rows = {1: [{MONITOR: 0.4}, {MONITOR: math.nan}], 2: [{MONITOR: 0.7}, {MONITOR: 0.6}]}
    view.running = tuple(Progress(each, 2.0, 10.0, None, rows[each.point]) for each in made)
    assert any("val/accuracy 0.7000  optimizer.lr=0.2" in line for line in frame(view))
