"""Stop after a time."""

import math

import pytest

from trainctl.components.early_stopping.base import Stopping
from trainctl.components.early_stopping.time import time


@pytest.mark.parametrize(("seconds", "stops"), [(0.0, False), (29.9, False), (30.0, True), (1e6, True)])
@pytest.mark.parametrize("value", [0.0, math.nan])
def test_the_clock_decides_alone(seconds, stops, value):
    assert time(minutes=0.5)(Stopping(), value, 7, seconds).stop == stops
