"""What every schedule is: a pure function of the step, between 0 and 1, that starts at the base learning rate."""

import random
from pathlib import Path

import pytest
import yaml

from trainctl import component

CONF = Path(__file__).parents[2] / "conf" / "schedule"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
STEPS = range(300)  # past the end, too: a resumed run may be longer


def make(name, **changes):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return component.build("schedule", keys | changes, total_steps=250, steps_per_epoch=7)


def warming(name):
    return {"warmup_steps": 20} if "warmup_steps" in yaml.safe_load((CONF / f"{name}.yaml").read_text()) else {}


def test_there_are_members():
    assert len(MEMBERS) >= 4


@pytest.mark.parametrize("name", MEMBERS)
def test_it_starts_at_the_base_rate(name):
    assert make(name)(0) == 1.0


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("warmup", [False, True], ids=["cold", "warmup"])
def test_it_stays_between_0_and_1(name, warmup):
    multiplier = make(name, **(warming(name) if warmup else {}))
    assert all(0 <= multiplier(step) <= 1 for step in STEPS)
    assert all(isinstance(multiplier(step), float) for step in STEPS)


@pytest.mark.parametrize("name", MEMBERS)
def test_it_is_a_function_of_the_step_alone(name):
    multiplier, again = make(name, **warming(name)), make(name, **warming(name))
    values = [multiplier(step) for step in STEPS]
    shuffled = random.Random(0).sample(STEPS, len(STEPS))
    assert {step: again(step) for step in shuffled} == dict(zip(STEPS, values, strict=True))
