"""A command that waits says so: a moving line on a terminal, now and then a line elsewhere, nothing if it is quick."""

import io
import threading
import time

import pytest

from trainctl.fileformat import waiting
from trainctl.report import waits
from trainctl.report.waits import Waits, text


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def install(monkeypatch):
    """Return a function that lets waits be shown on a stream."""

    def installed(stream, *, live):
        monkeypatch.setattr(waiting, "_listeners", [Waits(stream, live=live)])
        return stream

    return installed


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing was shown"
        time.sleep(0.005)


def test_a_terminal_shows_what_is_done_and_removes_the_line(install, monkeypatch):
    monkeypatch.setattr(waits, "AFTER", 0.0)
    monkeypatch.setattr(waits, "HERTZ", 100)
    stream = install(Terminal(), live=True)
    with waiting.waiting("reading \x1b[2Jx.csv", 10, "rows") as wait:
        wait.advance(4)
        until(lambda: "4 of 10 rows, 40 %" in stream.getvalue())
        with waiting.waiting("an inner part"):
            until(lambda: "an inner part" in stream.getvalue())
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert "\\x1b[2Jx.csv" in shown
    last, end = shown.rsplit("\r", 2)[-2:]
    assert (last.strip(), end) == ("", "")  # the line was overwritten with spaces
    assert not [thread for thread in threading.enumerate() if thread.name == "trainctl-waits"]


def test_a_pipe_gets_a_line_rarely(install, monkeypatch):
    monkeypatch.setattr(waits, "FIRST", 0.02)
    monkeypatch.setattr(waits, "HERTZ", 200)
    stream = install(io.StringIO(), live=False)
    with waiting.waiting("finding the rate", 3, "steps"):
        until(lambda: stream.getvalue().count("\n") >= 3)
    assert set(stream.getvalue().splitlines()) == {"trainctl: finding the rate: 0 of 3 steps, 0 %, 0s"}


@pytest.mark.parametrize(("together", "shown"), [(5.0, "trainctl: converting the rows, 0s\n"), (0.0, "")])
def test_two_pieces_of_work_that_follow_each_other_are_one_wait(install, monkeypatch, together, shown):
    monkeypatch.setattr(waits, "FIRST", 1.0)
    monkeypatch.setattr(waits, "HERTZ", 200)
    monkeypatch.setattr(waits, "TOGETHER", together)
    stream = install(io.StringIO(), live=False)
    for what in ("looking at the columns", "converting the rows"):
        with waiting.waiting(what):
            time.sleep(0.55)
    assert stream.getvalue() == shown


@pytest.mark.parametrize("live", [True, False])
def test_quick_work_shows_nothing(install, live):
    stream = install(Terminal(), live=live)
    for _ in waiting.counted(range(3), "counting", 3):
        pass
    assert stream.getvalue() == ""


def test_a_closed_stream_ends_nothing(install, monkeypatch):
    monkeypatch.setattr(waits, "AFTER", 0.0)
    monkeypatch.setattr(waits, "HERTZ", 100)
    stream = install(Terminal(), live=True)
    with waiting.waiting("reading"):
        until(lambda: "reading" in stream.getvalue())
        stream.close()
        time.sleep(0.05)


def test_files_count_where_nobody_knows_their_number():
    with waiting.waiting("reading images") as wait:
        waiting.count_one("files")
        waiting.count_one("files")
    assert text(wait, 12.0) == "reading images: 2 files, 12s"
    waiting.count_one("files")  # outside of any work: nothing happens
