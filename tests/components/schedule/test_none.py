"""A fixed learning rate."""

from trainctl.components.schedule.none import none


def test_the_rate_stays():
    assert {none()(step) for step in (0, 1, 10**9)} == {1.0}
