"""TensorBoard event files."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from trainctl.components.logger.tensorboard import tensorboard
from trainctl.errors import CheckpointError, Interrupted
from trainctl.report.files import Files
from trainctl.report.reporters import RunFolder
from trainctl.settings import compose
from trainctl.store import runpath
from trainctl.train import session


def inside(directory):
    return lambda name: RunFolder(runpath.hold(directory) / name)


def test_tensorboard_reads_back_what_was_logged(tmp_path):
    logger = tensorboard(folder=inside(tmp_path), flush_seconds=30)
    for step, loss in ((10, 0.5), (20, 0.25)):
        logger.log(step, {"val/loss": loss, "train/accuracy": 1 - loss})
    logger.close()

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"val/loss", "train/accuracy"}
    assert [(event.step, event.value) for event in events.Scalars("val/loss")] == [(10, 0.5), (20, 0.25)]
    assert [event.value for event in events.Scalars("train/accuracy")] == [pytest.approx(0.5), pytest.approx(0.75)]


def events(directory):
    """Return all scalars in all event files, as they are, without what TensorBoard itself leaves out."""
    files = sorted((directory / "tensorboard").glob("events*"))
    found = []
    for path in files:
        for event in EventFileLoader(str(path)).Load():
            found += [
                (value.tag, event.step, event.wall_time) for value in event.summary.value if value.tensor.float_val
            ]
    return sorted(found)


def recorded(directory):
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return sorted((name, row["step"]) for row in rows for name in row if "/" in name or name == "lr")


def settings(*words):
    return compose.compose(
        [
            "dataset=iris",
            "logger=tensorboard",
            "loop.eval_every_steps=2",
            "output.plots=false",
            "loop.max_steps=12",
            *words,
        ]
    )


def test_each_evaluation_is_there_once_after_every_kind_of_stop(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        session.begin(settings("loop.stop_at_step=5"), [], run)
    before = events(run)
    assert [event[:2] for event in before] == recorded(run)
    # As if it had been killed later: evaluations after the checkpoint, which will be repeated; and a damaged file.
    late = tensorboard(folder=inside(run), flush_seconds=30)
    late.log(6, {"val/loss": 1.0})
    late.log(99, {"val/loss": 1.0})
    late.close()
    session.resume(settings(), [], run)
    assert [event[:2] for event in events(run)] == recorded(run)
    assert set(before) <= set(events(run)), "the times at which they were measured stay"
    (run / "tensorboard" / "events.out.tfevents.0.damaged").write_bytes(b"no event")
    session.resume(settings("loop.max_steps=16"), [], run)  # with its test metrics at another, or the same best step
    assert [event[:2] for event in events(run)] == recorded(run)
    assert len([name for name, _ in recorded(run) if name == "test/loss"]) == 1


def test_a_rewind_takes_back_what_will_be_repeated(tmp_path):
    logger = tensorboard(folder=inside(tmp_path), flush_seconds=30)
    reporter = Files(tmp_path, [logger])
    for step in (2, 4, 6):
        reporter._record({"step": step, "val/loss": 1.0})
        reporter.loggers.log(step, {"val/loss": 1.0})
    reporter.forget(4)
    reporter.loggers.log(6, {"val/loss": 2.0})
    logger.close()
    assert [event[:2] for event in events(tmp_path)] == [("val/loss", 2), ("val/loss", 4), ("val/loss", 6)]


def test_a_folder_that_is_a_link_is_not_emptied(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "events.out.tfevents.1").write_bytes(b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").symlink_to(tmp_path / "other")
    with pytest.raises(CheckpointError):
        tensorboard(folder=inside(tmp_path / "run"), flush_seconds=30).restart([])
    assert (tmp_path / "other" / "events.out.tfevents.1").exists()
