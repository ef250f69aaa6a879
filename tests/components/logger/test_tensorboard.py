"""TensorBoard event files."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainctl.components.logger.tensorboard import tensorboard


def test_tensorboard_reads_back_what_was_logged(tmp_path):
    (tmp_path / "tensorboard").mkdir()
    logger = tensorboard(new_file=lambda folder, name: (tmp_path / folder / name).open("xb"), flush_seconds=30)
    for step, loss in ((10, 0.5), (20, 0.25)):
        logger.log(step, {"val/loss": loss, "train/accuracy": 1 - loss})
    logger.close()

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"val/loss", "train/accuracy"}
    assert [(event.step, event.value) for event in events.Scalars("val/loss")] == [(10, 0.5), (20, 0.25)]
    assert [event.value for event in events.Scalars("train/accuracy")] == [pytest.approx(0.5), pytest.approx(0.75)]
