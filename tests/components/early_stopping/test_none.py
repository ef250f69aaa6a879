"""No early stopping."""

import math

from trainctl.components.early_stopping.base import Stopping
from trainctl.components.early_stopping.none import none


def test_nothing_ever_stops():
    state = Stopping()
    for epoch, value in enumerate((1.0, 2.0, math.nan, math.inf)):
        state = none()(state, value, epoch, 1e9)
    assert state == Stopping()
