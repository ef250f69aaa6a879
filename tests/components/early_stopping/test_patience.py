"""Stop when a metric no longer improves."""

import math

import pytest

from trainctl.components.early_stopping.base import Stopping
from trainctl.components.early_stopping.patience import patience

NAN, INF = math.nan, math.inf
SEQUENCES = [
    # values, changed settings, evaluation that stops (from 1; None: none), reason
    ([1.0, 1.0], {"patience": 1}, 2, "patience 1 stops at the first without improvement"),
    ([1.0, 0.9, 0.8, 0.9], {"patience": 1}, 4, "improvements do not count"),
    ([1.0, 1.1], {}, None, "one of two"),
    ([1.0, 1.1, 1.2], {}, 3, "exactly two"),
    ([1.0, 1.1, 0.9, 1.1, 1.2], {}, 5, "an improvement starts the count again"),
    ([1.0, 1.1, 1.0], {}, 3, "equal is no improvement"),
    ([1.0, 1.3, 1.2], {}, 3, "better than the last is not better than the best"),
    ([1.0] * 5, {"patience": 5}, None, "four of five"),
    ([1.0] * 6, {"patience": 5}, 6, "exactly five"),
    ([1.0, 0.95, 0.9], {"min_delta": 0.1}, 3, "too small changes do not count; two of them make no large one"),
    ([1.0, 0.95, 0.85], {"min_delta": 0.1}, None, "measured from the best"),
    ([1.0, 0.75, 0.75], {"min_delta": 0.25}, 3, "exactly min_delta is not enough"),
    ([1.0, 1.1, 1.2], {"min_epochs": 3}, 3, "the first epochs are over"),
    ([1.0, 1.1, 1.2, 1.3], {"min_epochs": 4}, 4, "waits for min_epochs, then stops at once"),
    ([1.0, 1.1, 1.2, 0.9, 1.0], {"min_epochs": 4}, None, "an improvement in time"),
    ([1.0, NAN, NAN, NAN], {}, None, "not a number is not counted"),
    ([1.0, 1.1, NAN, 1.1], {}, 4, "nor does it start the count again"),
    ([NAN, 1.0, 0.9], {}, None, "the first may be none"),
    ([INF, 1.0, 1.1, 1.1], {}, 4, "from infinity anything is an improvement"),
    ([1.0, INF, INF], {}, 3, "infinity is worse"),
    ([0.1, 0.2, 0.3], {"maximize": True}, None, "larger is better"),
    ([0.3, 0.2, 0.1], {"maximize": True}, 3, "smaller is worse"),
    ([-0.3, -0.2, -0.25, -0.2], {"maximize": True}, 4, "below zero, too"),
    ([0.0, 0.05, 0.09], {"maximize": True, "min_delta": 0.1}, 3, "min_delta upwards"),
]
SETTINGS = {"monitor": "val/loss", "patience": 2, "min_delta": 0.0, "min_epochs": 0, "maximize": False}


@pytest.mark.parametrize(("values", "changes", "stops", "reason"), SEQUENCES, ids=[row[-1] for row in SEQUENCES])
def test_it_stops_at_the_right_evaluation(values, changes, stops, reason):
    rule, state, stopped = patience(**SETTINGS | changes), Stopping(), []
    for epoch, value in enumerate(values, 1):
        state = rule(state, value, epoch, 0.0)
        stopped += [epoch] if state.stop else []
    assert next(iter(stopped), None) == stops, reason


def test_the_state_tells_the_best_value_the_waiting_and_the_limit():
    rule, state = patience(**SETTINGS | {"patience": 3}), Stopping()
    for epoch, value in enumerate((1.0, 0.5, 0.7, NAN, 0.6), 1):
        state = rule(state, value, epoch, 0.0)
    assert state == Stopping(best=0.5, waited=2, limit=3, stop=False)
