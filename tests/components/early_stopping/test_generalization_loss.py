"""Stop when the validation error has risen too far above its best."""

import math

import pytest

from trainctl.components.early_stopping.base import Stopping
from trainctl.components.early_stopping.generalization_loss import generalization_loss
from trainctl.errors import ConfigError

SETTINGS = {"monitor": "val/loss", "alpha": 10.0, "min_epochs": 0, "maximize": False}
SEQUENCES = [
    # values, changed settings, evaluation that stops (from 1; None: none), reason
    ([1.0, 1.09, 1.1], {}, None, "up to alpha percent is allowed"),
    ([1.0, 1.09, 1.11], {}, 3, "more is not"),
    ([2.0, 1.0, 1.11], {}, 3, "measured from the best"),
    ([1.0, 1.5, 1.0], {"min_epochs": 3}, None, "the first epochs are trained in any case"),
    ([1.0, math.nan, 1.05, 1.2], {}, 4, "not a number is passed over"),
    ([math.nan, 1.0, 1.05], {}, None, "the first may be none"),
    ([0.0, 1e-9], {}, 2, "from zero any rise is infinite"),
    ([0.0, 0.0], {}, None, "but no rise is none"),
    ([-1.0, 1.0], {}, None, "below zero it says nothing"),
    ([1.0, math.inf], {}, 2, "infinity is too far"),
]


@pytest.mark.parametrize(("values", "changes", "stops", "reason"), SEQUENCES, ids=[row[-1] for row in SEQUENCES])
def test_it_stops_at_the_right_evaluation(values, changes, stops, reason):
    rule, state, stopped = generalization_loss(**SETTINGS | changes), Stopping(), []
    for epoch, value in enumerate(values, 1):
        state = rule(state, value, epoch, 0.0)
        stopped += [epoch] if state.stop else []
    assert next(iter(stopped), None) == stops, reason


def test_a_metric_that_rises_is_refused():
    with pytest.raises(
        ConfigError, match=r"early_stopping\.monitor=val/loss: generalization_loss needs a metric that decreases"
    ):
        generalization_loss(**SETTINGS | {"maximize": True})
