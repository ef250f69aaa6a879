"""What every early-stopping rule is: a pure function from one state to the next that plain JSON can carry."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from trainctl import component
from trainctl.early_stopping.base import Stopping

CONF = Path(__file__).parents[2] / "conf" / "early_stopping"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
VALUES = [1.0, 0.5, 0.7, math.nan, 0.5, 0.6, 0.9, 0.4, 0.8, 0.9]


def make(name):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return component.build(
        "early_stopping", keys | ({"monitor": "val/loss"} if "monitor" in keys else {}), maximize=False
    )


def test_there_are_members():
    assert len(MEMBERS) >= 2


@pytest.mark.parametrize("name", MEMBERS)
def test_the_next_state_follows_from_the_last_alone(name):
    rule, other, state = make(name), make(name), Stopping()
    for epoch, value in enumerate(VALUES, 1):
        restored = Stopping(**json.loads(json.dumps(asdict(state))))
        after = rule(state, value, epoch)
        assert other(restored, value, epoch) == rule(state, value, epoch) == after
        state = after


@pytest.mark.parametrize("name", MEMBERS)
def test_a_metric_that_improves_every_time_never_stops(name):
    rule, state = make(name), Stopping()
    for epoch in range(1, 100):
        state = rule(state, 1 / epoch, epoch)
        assert not state.stop
