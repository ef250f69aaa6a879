"""One cycle of the learning rate, and of the momentum against it."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl.components.schedule.one_cycle import one_cycle
from trainctl.errors import ConfigError
from trainctl.settings import component

CONF = Path(__file__).parents[3] / "conf" / "schedule" / "one_cycle.yaml"
DEFAULTS = {key: value for key, value in yaml.safe_load(CONF.read_text()).items() if key != "name"}
CHANGES = [
    {},
    {"anneal": "linear", "peak_fraction": 0.5},
    {"three_phase": True},
    {"three_phase": True, "anneal": "linear", "peak_fraction": 0.25, "start_divisor": 5.0, "final_divisor": 2.0},
    {"low_momentum": 0.5, "high_momentum": 0.7},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("total", [3, 10, 57, 200])
def test_rate_and_momentum_equal_torchs_in_every_step_of_a_run(changes, total):
    keys = DEFAULTS | changes
    found = one_cycle(**keys, total_steps=total)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=total, pct_start=keys["peak_fraction"],
        anneal_strategy={"cosine": "cos"}.get(keys["anneal"], "linear"), three_phase=keys["three_phase"],
        base_momentum=keys["low_momentum"], max_momentum=keys["high_momentum"],
        div_factor=keys["start_divisor"], final_div_factor=keys["final_divisor"],
    )  # fmt: skip
    for step in range(total):
        assert found.multiplier(step) == pytest.approx(optimizer.param_groups[0]["lr"] / 0.1, rel=1e-9), step
        assert found.momentum(step) == pytest.approx(optimizer.param_groups[0]["momentum"], rel=1e-9), step
        optimizer.step()
        if step < total - 1:
            reference.step()


def test_the_momentum_may_be_left_alone():
    assert one_cycle(**DEFAULTS | {"cycle_momentum": False}, total_steps=10).momentum is None


@pytest.mark.parametrize("key", ["low_momentum", "high_momentum"])
def test_a_momentum_of_0_from_which_it_would_not_rise_again_is_refused(key):
    keys = {"name": "one_cycle"} | DEFAULTS | {key: 0.0}
    assert component.problems("schedule", "schedule", keys) == [
        f"schedule.{key}=0.0: expected a number in (0, 1)",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"three_phase": True, "peak_fraction": 0.5}, "schedule.peak_fraction=0.5 must be below 0.5"),
        ({"low_momentum": 0.96}, "schedule.low_momentum=0.96 must not be above schedule.high_momentum=0.95"),
    ],
)
def test_what_cannot_be_is_a_wrong_configuration(changes, message):
    with pytest.raises(ConfigError, match=message):
        one_cycle(**DEFAULTS | changes, total_steps=100)
