"""What every schedule is: a pure function of the step that never exceeds the base learning rate."""

import json
import random
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from trainctl.components.schedule.base import Reaction, as_schedule
from trainctl.errors import ConfigError
from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "schedule"
MEMBERS = sorted(path.stem for path in CONF.glob("*.yaml"))
WARMING = [name for name in MEMBERS if "warmup_steps" in (CONF / f"{name}.yaml").read_text()]
CYCLES = ["cyclic", "one_cycle"]  # they rise to the base rate, without a warmup
STEPS = range(300)  # past the end, too: a resumed run may be longer


def make(name, total_steps=250, **changes):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | changes
    supplied = {"total_steps": total_steps, "steps_per_epoch": 7, "maximize": False}
    return as_schedule(factory.build("schedule", keys, **supplied))


def warming(name):
    return {"warmup_steps": 20} if name in WARMING else {}


def test_there_are_members():
    assert len(MEMBERS) >= 12
    assert sorted([*WARMING, *CYCLES, "none"]) == MEMBERS


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
def test_it_starts_at_the_base_rate_or_rises_to_it(name):
    found = [make(name).multiplier(step) for step in STEPS]
    assert max(found) == pytest.approx(1.0, abs=1e-3 if name == "one_cycle" else 1e-9)  # its peak is between two steps
    assert (found[0] == 1.0) == (name not in CYCLES)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("warmup", [False, True], ids=["cold", "warmup"])
def test_it_stays_between_0_and_1(name, warmup):
    multiplier = make(name, **(warming(name) if warmup else {})).multiplier
    assert all(0 <= multiplier(step) <= 1 for step in STEPS)
    assert all(isinstance(multiplier(step), float) for step in STEPS)


@pytest.mark.parametrize("name", MEMBERS)
def test_it_is_a_function_of_the_step_alone(name):
    first, again = make(name, **warming(name)), make(name, **warming(name))
    for function, other in ((first.multiplier, again.multiplier), (first.momentum, again.momentum)):
        values = [function(step) for step in STEPS] if function else []
        shuffled = random.Random(0).sample(STEPS, len(STEPS)) if function else []
        assert {step: other(step) for step in shuffled} == dict(zip(STEPS, values, strict=False)) or not function


@pytest.mark.parametrize("name", WARMING)
def test_a_warmup_rises_in_a_line_and_then_the_schedule_begins(name):
    warm = make(name, warmup_steps=20).multiplier
    assert [warm(step) for step in range(20)] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert warm(20) == 1.0


@pytest.mark.parametrize("name", WARMING)
@pytest.mark.parametrize("warmup", [10, 11])
def test_a_warmup_as_long_as_the_run_is_a_wrong_configuration(name, warmup):
    with pytest.raises(ConfigError, match=rf"schedule\.warmup_steps={warmup} "):
        make(name, total_steps=10, warmup_steps=warmup)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_shortest_runs_have_a_schedule_too(name, total):
    multiplier = make(name, total_steps=total).multiplier
    assert all(0 <= multiplier(step) <= 1 for step in range(total + 1))


@pytest.mark.parametrize("name", MEMBERS)
def test_what_it_remembers_is_plain_json_and_all_that_it_needs(name):
    schedule, state = make(name), Reaction()
    for value in [1.0, 0.5, *[0.6] * 40, float("nan"), 0.1]:
        restored = Reaction(**json.loads(json.dumps(asdict(state))))
        after = schedule.react(state, value)
        assert make(name).react(restored, value) == schedule.react(state, value) == after
        assert 0 <= after.factor <= 1
        state = after
    assert (state == Reaction()) == (name != "plateau")


def test_schedules_import_no_torch():
    code = "import sys, importlib\n"
    code += f"for name in {MEMBERS}: importlib.import_module(f'trainctl.components.schedule.{{name}}')\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
