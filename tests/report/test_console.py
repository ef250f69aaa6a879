"""The live view fits its terminal, shows what the run holds, prints user text as it is, and never ends a training."""

import errno
import io
import math
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console as RichConsole
from rich.control import strip_control_codes
from rich.text import Text

from trainctl.components.early_stopping.base import Stopping
from trainctl.report.console import Console
from trainctl.report.styles import BAD
from trainctl.report.terminal import ASCII, BLOCKS, ECHO, SYNCHRONIZED, QuietLive, marks
from trainctl.report.view import Speed, View
from trainctl.run.state import Best

DIRECTORY = Path("runs/20260101-120000-digits")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def terminal(width=110, height=35, file=None, **settings):
    return RichConsole(file=file or io.StringIO(), force_terminal=True, width=width, height=height, **settings)


def frame(view, width=110, height=35):
    """Return the lines of one frame."""
    console = terminal(width, height, color_system=None)
    return [
        line.rstrip()
        for line in "".join(segment.text for segment in console.render(view, console.options)).splitlines()
    ]


def plain(text):
    """Return what was written to a terminal, without colours and cursor movements."""
    return strip_control_codes(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))


@pytest.fixture
def make_view(run, row):
    """Return a maker of views after some epochs of 40 steps, the loss falling until ``best`` and rising then."""

    def make(epochs, best=None, encoding="utf-8", directory=DIRECTORY, run=run):
        best = best or epochs
        rows = [row(float(epoch), 1.0 / epoch if epoch <= best else 1.0) for epoch in range(1, epochs + 1)]
        run.state.step = 40 * epochs
        run.state.best = Best(1.0 / best, 40 * best, float(best)) if epochs else None
        return View(run, directory, rows, encoding)

    return make


def table(lines):
    """Return the epochs of the table's rows, with a star where there is one."""
    start = next(index for index, line in enumerate(lines) if line.startswith("  epoch"))
    rows = []
    for line in lines[start + 1 :]:
        if not (found := re.match(r"([★*]?) +(\d+) ", line)):
            break
        rows.append(found[1] + found[2])
    return rows


def test_a_frame_shows_what_the_run_is_and_where_it_stands(make_view, run):
    run.state.stopping = Stopping(0.5, 3, 10)
    lines = frame(make_view(2))
    assert lines[:4] == [
        f"run     {DIRECTORY}",
        "device  cpu (2 threads), fp32",
        "model   mlp, 1,300 parameters",
        "data    digits: 1,200 train, 270 val, 1 test; samples of shape 3x4, 3 classes",
    ]
    assert lines[5] == "━" * 10 + "─" * 90 + "  10 %"
    assert " ".join(lines[6:8]).startswith(
        "step 80/800   epoch 2/20   time 0.0 s   eta ?   ? samples/s   lr 0.001   patience 3/10"
    )
    assert lines[7] == "best val/loss 0.5000 at epoch 2"
    assert lines[9:12] == [
        "  epoch  step  train/loss  train/accuracy  val/loss  val/accuracy     lr",
        "      1    40      0.5000          0.9610    1.0000        0.9519  0.001",
        "★     2    80      0.2500          0.9610    0.5000        0.9519  0.001",
    ]
    assert lines[13:] == ["val/loss    █▁  0.5000", "train/loss  █▁  0.2500"]


def test_a_frame_follows_the_run_without_being_told(make_view, run):
    view = make_view(2)
    frame(view)
    run.state.step, run.optimizer.param_groups[0]["initial_lr"] = 100, 0.25
    run.state.best = Best(0.125, 40, 1.0)
    text = "\n".join(frame(view))
    assert "step 100/800   epoch 2.50/20" in text
    assert "lr 0.25" in text
    assert "best val/loss 0.1250 at epoch 1" in text
    assert table(frame(view)) == ["★1", "2"]


@pytest.mark.parametrize("width", [20, 21, 30, 40, 60, 80, 110, 300])
@pytest.mark.parametrize("epochs", [0, 1, 2, 19])
def test_a_frame_fits_its_terminal(make_view, run, width, epochs):
    run.state.stopping = Stopping(0.5, 3, 10)
    view = make_view(epochs, best=min(3, epochs), directory=Path("runs") / ("数" * 40))
    for height in (1, 2, 5, 8, 10, 12, 15, 20, 24, 35, 80):
        lines = frame(view, width, height)
        assert len(lines) <= max(1, height - 1)
        assert max((cell_len(line) for line in lines), default=0) <= width
        assert not any("no live view" in line for line in lines)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((110, 35), ["★3", *map(str, range(13, 20))]),  # the best one, then the newest
        ((40, 15), ["★3", "18", "19"]),
        ((80, 9), ["★3", "18", "19"]),
    ],
)
def test_the_best_evaluation_stays_in_the_table(make_view, size, shown):
    assert table(frame(make_view(19, best=3), *size)) == shown


def test_the_newest_best_evaluation_appears_once(make_view):
    assert table(frame(make_view(19, best=17))) == [*map(str, range(12, 17)), "★17", "18", "19"]


def test_a_narrow_table_keeps_the_monitored_metric(make_view, run):
    run = replace(run, config=replace(run.config, monitor="val/accuracy"))
    header = next(line for line in frame(make_view(2, run=run), 40) if line.startswith("  epoch"))
    assert header.split() == ["epoch", "train/loss", "val/accuracy"]


def test_a_directory_that_is_too_long_is_shown_by_its_name(make_view):
    view = make_view(1, directory=Path("/somewhere/that/is/far/away/from/here/runs/x-1"))
    assert frame(view, 40, 35)[0] == "run     x-1"
    assert frame(view, 80, 35)[0] == "run     /somewhere/that/is/far/away/from/here/runs/x-1"


def test_there_is_no_spark_line_of_one_evaluation(make_view):
    assert len([line for line in frame(make_view(1)) if line.startswith("val/loss")]) == 0
    assert len([line for line in frame(make_view(2)) if line.startswith("val/loss")]) == 1


@pytest.mark.parametrize("size", [(60, 20), (50, 14), (44, 9), (80, 24), (100, 7)])
def test_the_last_line_leaves_room_for_what_a_terminal_echoes(make_view, size):
    lines = [line for line in frame(make_view(90), *size) if line.strip()]
    assert len(lines[-1]) <= size[0] - ECHO
    assert len(lines) < size[1]


def test_a_metric_that_is_not_a_number_stands_out(make_view):
    view = make_view(3)
    view.rows[1] = view.rows[1] | {"val/loss": math.nan}
    lines = frame(view)
    assert "nan" in next(line for line in lines if line.startswith("      2"))
    assert "val/loss    █!▁  0.3333" in lines
    line = view.table(110, 8)[2]
    assert [line.plain[span.start : span.end].strip() for span in line.spans if span.style == BAD] == ["nan"]


@pytest.mark.parametrize(
    ("times", "steps", "speed"),
    [
        ([0.0], [0], None),  # nothing to compare with
        ([0.0, 1.0], [0, 0], None),
        ([0.0, 1.0, 2.0], [0, 10, 20], 10.0),
        ([0.0, 10.0, 11.0, 12.0], [0, 1, 101, 201], 100.0),  # the first step was slow, and is out of the window
        ([0.0, 8.0, 9.0, 16.0], [0, 1, 1, 2], 0.125),  # steps longer than the window
        ([0.0, 1.0, 1.5], [0, 10, 10], 10.0),  # a glance between two steps changes nothing
    ],
)
def test_the_speed_is_that_of_the_last_seconds(times, steps, speed):
    meter = Speed()
    measured = [meter.update(now, step) for now, step in zip(times, steps, strict=True)]
    assert measured[-1] == speed


def status(view, seconds, step):
    """Return the status after so many seconds, the first glance at the start."""
    view.status(300, view.began)
    view.run.state.step += step
    return [line.plain for line in view.status(300, view.began + seconds)]


def test_the_time_left_follows_from_the_speed(make_view):
    bar, facts = status(make_view(0), 4.0, 80)  # 20 steps of 30 rows a second, 720 steps to go
    assert "time 4.0 s   eta 36 s   600 samples/s" in facts
    assert bar.endswith(" 10 %")


@pytest.mark.parametrize(
    ("loop", "left", "percent"),
    [
        ({"max_time": "10s"}, "time 4.0 s of 10 s   eta 6.0 s", "40 %"),  # the clock is first
        ({"max_time": "1h"}, "time 4.0 s of 1 h 00 min   eta 36 s", "10 %"),  # the steps are first
        ({"stop_at_step": 100}, "eta 1.0 s", "10 %"),
    ],
)
def test_the_time_left_is_that_of_the_budget_that_is_reached_first(make_run, make_view, loop, left, percent):
    bar, facts = status(make_view(0, run=make_run(**loop)), 4.0, 80)
    assert left in facts
    assert bar.endswith(percent)


def test_a_resumed_run_counts_the_time_of_earlier_sessions(run, row):
    run.state.step, run.state.seconds = 400, 100.0
    view = View(run, DIRECTORY, [row(10.0)], "utf-8")
    assert "time 1 min 44 s   eta 16 s" in status(view, 4.0, 80)[1]
    assert table(frame(view)) == ["10"]


def test_how_steps_are_taken_is_shown_beside_the_device_once_it_is_known(make_view):
    view = make_view(2)
    assert "recorded" not in "\n".join(frame(view))
    view.engine = "recorded"
    (line,) = (line for line in frame(view) if line.startswith("device"))
    assert line.rstrip().endswith("fp32, recorded")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_shows_its_name_and_its_memory(make_view, run):
    tensor = torch.zeros(2**28, device="cuda")
    text = "\n".join(frame(make_view(1, run=replace(run, device=tensor.device))))
    assert torch.cuda.get_device_name() in text
    assert re.search(r"gpu [1-9]\d*\.\d GB, peak [1-9]", text)


@pytest.mark.parametrize(
    ("encoding", "expected"), [("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII), ("no-such", ASCII)]
)
def test_marks_are_those_that_the_encoding_has(encoding, expected):
    assert marks(encoding) == expected


@pytest.mark.parametrize("size", [(110, 35), (30, 20)])
def test_an_ascii_terminal_gets_ascii_only(run, row, summary, size):
    raw = io.BytesIO()
    console = Console(terminal(*size, file=io.TextIOWrapper(raw, encoding="ascii")))
    console.start(run, Path("runs/Größe"), [row(1.0), row(2.0)])
    console.note("Größe")
    run.state.best = Best(0.5, 40, 1.0)
    console.finish(summary)
    text = plain(raw.getvalue().decode("ascii"))
    assert "no live view" not in text
    assert r"runs/Gr\xf6\xdfe" in text
    assert "\n*     1" in text
    assert "-----" in text


def test_no_color_is_respected(run, row, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(terminal())
    console.start(run, DIRECTORY, [row(1.0)])
    console.close()
    assert not re.search(r"\x1b\[[0-9;]*3[0-8]", console.console.file.getvalue())


def test_user_text_is_neither_markup_nor_control_sequence(run, summary):
    console = Console(terminal(200))
    console.start(run, Path("runs/[red]x[/red]\x1b]0;title\x07\n"), [])
    console.note("[bold]note[/bold] :smile: [/nonsense] \x1b[2J")
    console.finish(summary | {"reason": "[blue]why[/blue]\x1b[2J"})
    written = console.console.file.getvalue()
    assert "\x1b[2J" not in written
    assert "\x07" not in written
    assert "runs/[red]x[/red]\\x1b]0;title\\x07\\n" in plain(written)
    assert "[bold]note[/bold] :smile: [/nonsense] \\x1b[2J" in plain(written)
    assert "[blue]why[/blue]" in plain(written)


def test_the_view_ends_in_its_last_state_with_a_summary_below(run, row, summary):
    console = Console(terminal(200))
    console.start(run, DIRECTORY, [])
    run.state.step = 800
    console.evaluation(row(20.0))
    console.finish(summary)
    last = plain(console.console.file.getvalue().rpartition(SYNCHRONIZED[0])[2])
    assert "100 %" in last
    assert "time 3 min 05 s   45,120 samples/s" in last
    assert "eta" not in last
    assert (
        last.index("20   800")
        < last.index("finished  completed all 20 epochs")
        < last.index("next      trainctl evaluate")
    )


def test_a_command_to_paste_is_not_broken_into_lines(run, summary):
    console = Console(terminal(20, 10))
    directory = Path("runs") / ("x" * 60)
    console.start(run, directory, [])
    console.finish(summary)
    assert f"trainctl evaluate {directory}\n" in plain(console.console.file.getvalue())


def test_the_header_is_printed_once_above_the_view_and_whole(run):
    console = Console(terminal(40))
    console.start(run, DIRECTORY, [])
    console.engine("recorded")
    time.sleep(0.3)
    console.close()
    written = plain(console.console.file.getvalue())
    header = ["run     ", "device  cpu (2 threads), fp32\n", "model   ", "engine  recorded\n"]
    assert [written.count(line) for line in header] == [1, 1, 1, 1]
    assert "samples of shape 3x4, 3 classes\n" in " ".join(written.split(" ")).replace("\n        ", " ")
    assert "clas\n" not in written
    assert written.index("samples of shape") < written.index("step")


def test_the_view_draws_itself_while_the_loop_makes_no_call(run):
    console = Console(terminal())
    console.start(run, DIRECTORY, [])
    assert "step" in console.console.file.getvalue()  # at once, not after an eighth of a second
    run.state.step = 123
    deadline = time.monotonic() + 10
    while "step 123/800" not in plain(console.console.file.getvalue()) and time.monotonic() < deadline:
        time.sleep(0.02)
    drawn = plain(console.console.file.getvalue())
    console.close()
    assert "step 123/800" in drawn


def test_no_more_than_eight_frames_are_drawn_in_a_second(run):
    console = Console(terminal())
    console.start(run, DIRECTORY, [])
    before = console.console.file.getvalue().count(SYNCHRONIZED[0])
    time.sleep(1.0)
    drawn = console.console.file.getvalue().count(SYNCHRONIZED[0]) - before
    console.close()
    assert 1 <= drawn <= 9


class Screen:
    """A terminal of a few lines: what stands on it after it was written to; it breaks lines anew when it is resized."""

    def __init__(self, width):
        self.width, self.lines, self.row, self.column = width, [""], 0, 0
        self.written = ""

    def write(self, text):
        self.written += text
        for code, count, letter, plain in re.findall(
            r"(\x1b\[\??(\d*)([A-Za-z]))|([^\x1b])", re.sub(r"\x1b\[[0-9;]*m", "", text)
        ):
            if plain == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif plain == "\r":
                self.column = 0
            elif plain:
                if self.column == self.width:
                    self.write("\n")
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + plain + line[self.column + 1 :]
                self.column += 1
            elif letter == "A":
                assert self.row >= int(count), "the cursor leaves the frame"
                self.row -= int(count)
            elif letter == "B":
                self.row += int(count)
                assert self.row < len(self.lines), "the cursor leaves the frame"
            elif letter == "K":
                self.lines[self.row] = ""
            elif letter == "J":
                self.lines[self.row + 1 :] = []
                self.lines[self.row] = self.lines[self.row][: self.column]
            else:
                assert letter in "hl", code

    def resize(self, width):
        whole, cursor = [line.rstrip() for line in self.lines], self.row
        self.width, self.lines = width, []
        for number, line in enumerate(whole):
            self.lines += [line[start : start + width] for start in range(0, max(1, len(line)), width)]
            if number == cursor:
                self.row = len(self.lines) - 1

    @property
    def shown(self):
        """Return its lines without the empty ones at its end."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n").split("\n")


FULL = ["x" * 40, "y" * 40, "z" * 40]  # as wide as the terminal
FRAMES = [
    FULL,
    [*FULL[:2], "w" * 40],
    ["w" * 40, *FULL[:2]],
    ["a", "b", "c"],
    ["a", "B", "c"],
    ["a"],
    ["a", "b", "c", "d"],
    ["a", "b", "c", "d"],
    ["x", "b"],
    [""],
    ["1", "2"],
]


def shown(frames, widths=(40,)):
    """Show frames, one after the other, on terminals of the given widths in turn; yield the screen after each."""
    current, screen = [""], Screen(widths[0])

    class Lines:
        def __rich_console__(self, console, options):
            for line in current[0]:
                yield Text(line, no_wrap=True, overflow="crop")

    console = RichConsole(file=io.StringIO(), force_terminal=True, width=widths[0], height=30)
    live = QuietLive(Lines(), console=console, auto_refresh=False)
    current[0] = []
    live.start()
    for number, frame in enumerate(frames):
        if (width := widths[number % len(widths)]) != screen.width:
            screen.resize(width)
            console._width = width
        current[0] = frame
        live.refresh()
        screen.write(console.file.getvalue())
        console.file.seek(0)
        console.file.truncate()
        yield screen, console
    live.stop()


@pytest.mark.parametrize("typed", ["", "^C", "^C^C^C"])
def test_after_each_frame_the_screen_shows_it_and_nothing_else_whatever_was_typed(typed):
    """The last line leaves room for what is typed."""
    for frame, (screen, _) in zip(FRAMES, shown(FRAMES), strict=True):
        assert [line.removesuffix(typed) for line in screen.shown] == [*frame[:-1], frame[-1][:34]]
        screen.write(typed)


def test_no_part_of_an_old_frame_stays_behind_when_the_terminal_is_resized():
    frames = [[f"{letter * 35}{number}" for letter in "abc"] for number in range(6)]
    for frame, (screen, _) in zip(frames, shown(frames, (40, 12, 40, 36)), strict=True):
        assert screen.shown == [line[: screen.width] for line in frame[:-1]] + [frame[-1][: screen.width - 6]]


def test_only_lines_that_change_are_written_and_each_frame_is_one_synchronized_update():
    sizes = []
    for screen, _ in shown([["head", "step 1", "foot"], ["head", "step 2", "foot"], ["head", "step 2", "foot"]]):
        sizes.append(screen.written)
    first, second, third = sizes[0], sizes[1][len(sizes[0]) :], sizes[2][len(sizes[1]) :]
    assert "head" in first
    assert ("step 2" in second, "head" in second, "foot" in second) == (True, False, False)
    assert not re.search("[a-z]{4}", third)
    assert all(part.count(SYNCHRONIZED[0]) == part.count(SYNCHRONIZED[1]) == 1 for part in (second, third))


def test_what_is_printed_above_the_view_stays_there():
    frames = [["one", "two"], ["one", "2"], ["uno"]]
    for number, (screen, console) in enumerate(shown(frames)):
        console.print(f"note {number}")
        screen.write(console.file.getvalue())
        console.file.seek(0)
        console.file.truncate()
        assert screen.shown == [f"note {n}" for n in range(number + 1)] + frames[number]


def test_close_gives_cursor_and_streams_back_and_may_be_called_again(run):
    streams = sys.stdout, sys.stderr
    console = Console(terminal())
    console.start(run, DIRECTORY, [])
    assert HIDE in console.console.file.getvalue()
    assert sys.stdout is not streams[0]  # what others print goes above the view
    console.close()
    written = console.console.file.getvalue()
    assert written.endswith(SHOW)
    assert (sys.stdout, sys.stderr) == streams
    console.close()
    assert console.console.file.getvalue() == written


def test_the_rate_is_that_of_the_coming_step_and_not_read_from_the_optimizer(run):
    run.optimizer.param_groups[0]["lr"] = torch.tensor(0.5, device="meta")  # reading it would raise
    schedule = replace(run.schedule, multiplier=lambda step: 0.5**step)
    for step, shown in ((0, "0.001"), (3, "0.000125")):  # as resumed there
        run.state.step = step
        view = View(replace(run, schedule=schedule), DIRECTORY, [], "utf-8")
        assert dict(view.measures(0.0))["lr"] == shown


def test_close_before_the_start_does_nothing():
    console = Console(terminal())
    console.close()
    assert console.console.file.getvalue() == ""


def test_an_error_in_a_frame_becomes_a_line_of_it(make_view):
    view = make_view(2)
    view.rows.append({"step": "no number"})
    (line,) = frame(view)
    assert line.startswith("no live view: ")


class Gone(io.StringIO):
    """A terminal that goes away: from then on writing raises."""

    error: Exception | None = None

    def write(self, text):
        if self.error:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("when", ["before the start", "after the start"])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "gone"), BrokenPipeError(), ValueError("closed")], ids=["gone", "pipe", "closed"]
)
def test_a_terminal_that_goes_away_does_not_end_the_training(run, row, summary, error, when, monkeypatch):
    monkeypatch.setattr(
        "rich.console.os.dup2", lambda *_: None
    )  # where a pipe breaks, rich would silence pytest's own stdout
    streams = sys.stdout, sys.stderr
    file = Gone()
    console = Console(terminal(file=file))
    file.error = error if when == "before the start" else None
    console.start(run, DIRECTORY, [])
    file.error = error
    time.sleep(0.3)  # frames are drawn, in vain
    console.evaluation(row(1.0))
    console.note("x")
    console.finish(summary)
    console.close()
    assert (sys.stdout, sys.stderr) == streams
