"""The warmup that schedules share, and what becomes of a plain function."""

import pytest

from trainctl.components.schedule.base import Reaction, Schedule, as_schedule, warmed_up


def test_without_warmup_the_schedule_is_left_as_it_is():
    def after(step):
        return 0.5

    assert warmed_up(after, 0, 10) is after


@pytest.mark.parametrize(
    ("step", "value", "reason"),
    [
        (0, 0.25, "the first step trains already"),
        (3, 1.0, "the warmup's last step has the full rate"),
        (4, 1.0, "so has the first after it"),
        (6, 0.25, "the schedule counts from the warmup's end"),
    ],
)
def test_the_corners(step, value, reason):
    assert warmed_up(lambda step: 0.5**step, 4, 12)(step) == value, reason


def test_a_plain_function_is_a_schedule_that_does_nothing_else():
    found = as_schedule(lambda step: 0.25)
    assert (found.multiplier(7), found.momentum) == (0.25, None)
    assert found.react(Reaction(), 3.0) == Reaction()
    assert as_schedule(whole := Schedule(lambda step: 1.0, lambda step: 0.9)) is whole
