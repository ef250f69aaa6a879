"""What every early-stopping rule is: a pure function from one state to the next that plain JSON can carry."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from trainctl.components.early_stopping.base import Stopping
from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "early_stopping"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
VALUES = [1.0, 0.5, 0.7, math.nan, 0.5, 0.6, 0.9, 0.4, 0.8, 0.9]


def make(name):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    given = {"monitor": "val/loss", "target": 0.001}
    return factory.build(
        "early_stopping", keys | {key: value for key, value in given.items() if key in keys}, maximize=False
    )


def test_there_are_members():
    assert len(MEMBERS) >= 5


@pytest.mark.parametrize("name", MEMBERS)
def test_the_next_state_follows_from_the_last_alone(name):
    rule, other, state = make(name), make(name), Stopping()
    for epoch, value in enumerate(VALUES, 1):
        restored = Stopping(**json.loads(json.dumps(asdict(state))))
        after = rule(state, value, epoch, 60.0 * epoch)
        assert other(restored, value, epoch, 60.0 * epoch) == rule(state, value, epoch, 60.0 * epoch) == after
        state = after


@pytest.mark.parametrize("name", MEMBERS)
def test_a_metric_that_improves_every_time_never_stops(name):
    rule, state = make(name), Stopping()
    for epoch in range(1, 100):
        state = rule(state, 1 / epoch, epoch, 1.0)
        assert not state.stop


@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "none"])
def test_what_stops_says_why(name):
    rule, state = make(name), Stopping()
    for epoch, value in enumerate((1.0, *[2.0] * 9, 1e-9), 1):
        state = rule(state, value, epoch, 60.0 * epoch)
        assert state.stop == bool(state.reason)
        if state.stop:
            return
    raise AssertionError("it never stops")
