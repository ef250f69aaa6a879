"""A logger that fails is reported once, is not called again after three failures in a row, and disturbs no other."""

import warnings

from trainctl.components.logger.base import Logger, Session
from trainctl.errors import Advice
from trainctl.report.files import Files


def test_a_failing_logger_is_reported_once_given_up_and_disturbs_no_other(tmp_path):
    calls, received = [], []

    def fail(step, metrics):
        calls.append(step)
        if step != 3:
            raise OSError(5, "Input/output error")

    ours = [Logger(fail, lambda: None), Logger(lambda step, metrics: received.append(step), lambda: None)]
    reporter = Files(tmp_path, ours, ["bad", "good"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Advice)
        for step in range(1, 10):
            reporter.loggers.log(step, {"val/loss": 1.0})
        reporter.close()
    assert received == [*range(1, 10)]
    assert calls == [1, 2, 3, 4, 5, 6], "a success in between starts the count anew"
    assert [str(each.message) for each in caught] == [
        "logger=bad is incomplete, training continues: Input/output error",
        "logger=bad failed 3 times in a row, and is not called again",
    ]


def test_loggers_are_called_in_their_order_and_get_the_plots_at_the_end(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curves.png").write_bytes(b"png")
    (tmp_path / "plots" / "notes.txt").write_bytes(b"")
    events = []
    logger = Logger(
        log=lambda step, metrics: events.append(("log", step)),
        close=lambda: events.append(("close",)),
        restart=lambda rows: events.append(("restart", len(rows))),
        start=lambda session: events.append(("start", session.name)),
        picture=lambda name, content: events.append(("picture", name, content)),
        finish=lambda summary: events.append(("finish", summary["outcome"])),
    )
    reporter = Files(tmp_path, [logger, Logger(lambda step, metrics: None, lambda: None)], ["ours", "least"])
    reporter.loggers.start(Session("run", {}), [(1, {})])
    reporter.loggers.log(2, {})
    reporter.loggers.finish({"outcome": "finished"})
    reporter.close()
    assert events == [
        ("start", "run"), ("restart", 1), ("log", 2), ("finish", "finished"), ("picture", "curves.png", b"png"), ("close",),
    ]  # fmt: skip
