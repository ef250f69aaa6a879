"""Reduce the learning rate when a metric no longer improves."""

import math
import random

import pytest
import torch

from trainctl.components.schedule.base import Reaction
from trainctl.components.schedule.plateau import plateau

SETTINGS = {
    "warmup_steps": 0, "monitor": "val/loss", "factor": 0.1, "patience": 2, "threshold": 1e-4,
    "threshold_mode": "relative", "cooldown": 0, "final_fraction": 0.0, "total_steps": 100, "maximize": False,
}  # fmt: skip
CHANGES = [
    {},
    {"maximize": True},
    {"patience": 0, "factor": 0.5},
    {"threshold": 0.2},
    {"threshold": 0.2, "maximize": True},
    {"threshold": 0.05, "threshold_mode": "absolute"},
    {"threshold": 0.05, "threshold_mode": "absolute", "maximize": True},
    {"cooldown": 3, "factor": 0.5},
    {"final_fraction": 0.02, "patience": 1},
]


def factors(values, **changes):
    schedule, state, found = plateau(**SETTINGS | changes), Reaction(), []
    for value in values:
        state = schedule.react(state, value)
        found.append(state.factor)
    return found


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_torch_at_every_evaluation(changes, seed):
    draw, keys = random.Random(seed), SETTINGS | changes
    values = [(1 + draw.random()) / (1 + number / 10) ** (draw.random() - 0.4) for number in range(60)]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max" if keys["maximize"] else "min", factor=keys["factor"], patience=keys["patience"],
        threshold=keys["threshold"], threshold_mode=keys["threshold_mode"][:3], cooldown=keys["cooldown"],
        min_lr=0.5 * keys["final_fraction"], eps=0.0,
    )  # fmt: skip
    wanted = []
    for value in values:
        reference.step(value)
        wanted.append(optimizer.param_groups[0]["lr"] / 0.5)
    assert factors(values, **changes) == pytest.approx(wanted, rel=1e-9)
    assert wanted[-1] < 1


def test_a_value_that_is_not_a_number_is_neither_an_improvement_nor_counted():
    assert factors([1.0, math.nan, 1.0, math.nan, 1.0, 1.0]) == pytest.approx([1, 1, 1, 1, 1, 0.1])
    assert factors([math.nan, 1.0, 1.0, 1.0, 1.0])[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("maximize", [False, True])
def test_below_zero_an_equal_value_is_no_improvement_either(maximize):
    assert factors([-0.5] * 4, maximize=maximize) == pytest.approx([1, 1, 1, 0.1])
    better = [-0.3, -0.2, -0.1] if maximize else [-0.7, -0.8, -0.9]
    assert factors([-0.5, *better, *better[-1:] * 2], maximize=maximize)[-1] == 1


def test_the_step_alone_gives_only_the_warmup():
    multiplier = plateau(**SETTINGS | {"warmup_steps": 4}).multiplier
    assert [multiplier(step) for step in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1.0, 1.0, 1.0]
