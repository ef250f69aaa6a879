"""Stop when a metric is good enough."""

import math

import pytest

from trainctl.components.early_stopping.base import Stopping
from trainctl.components.early_stopping.target import target
from trainctl.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "maximize", "stops"),
    [
        (0.9, True, True), (0.95, True, True), (0.89, True, False), (math.nan, True, False), (math.inf, True, True),
        (0.9, False, True), (0.85, False, True), (0.91, False, False), (math.nan, False, False),
    ],
)  # fmt: skip
def test_it_stops_when_the_value_is_reached_in_the_metrics_direction(value, maximize, stops):
    rule = target(monitor="val/accuracy", target=0.9, maximize=maximize)
    assert rule(Stopping(), value, 1, 0.0).stop == stops


def test_a_target_has_to_be_given():
    with pytest.raises(ConfigError, match=r"early_stopping\.target=null: set it to the value of val/loss"):
        target(monitor="val/loss", target=None, maximize=False)
