"""Cosine decay with linear warmup."""

import math

import pytest
import torch

from trainctl.components.schedule.cosine import cosine
from trainctl.errors import ConfigError


@pytest.mark.parametrize(("total", "floor"), [(1, 0.0), (10, 0.0), (57, 0.1), (20, 1.0)])
def test_without_warmup_it_equals_torch_in_every_step_of_a_run(total, floor):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total, eta_min=floor)
    multiplier = cosine(warmup_steps=0, final_fraction=floor, total_steps=total)
    for step in range(total + 1):
        assert multiplier(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize(("warmup", "total", "floor"), [(1, 2, 0.0), (5, 30, 0.0), (9, 10, 0.5)])
def test_with_warmup_it_is_the_written_formula(warmup, total, floor):
    multiplier = cosine(warmup_steps=warmup, final_fraction=floor, total_steps=total)
    for t in range(total + 1):
        rise = (t + 1) / warmup
        fall = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (t - warmup) / (total - warmup)))
        assert multiplier(t) == pytest.approx(rise if t < warmup else fall)


@pytest.mark.parametrize(
    ("step", "value", "reason"),
    [
        (0, 0.25, "the first step trains already"),
        (3, 1.0, "the warmup's last step has the full rate"),
        (4, 1.0, "so has the first after it"),
        (8, 0.55, "half way, half the height"),
        (12, 0.1, "the end"),
        (13, 0.1, "past the end it stays"),
        (1000, 0.1, "far past the end"),
    ],
)
def test_the_corners(step, value, reason):
    assert cosine(warmup_steps=4, final_fraction=0.1, total_steps=12)(step) == pytest.approx(value), reason


@pytest.mark.parametrize("warmup", [10, 11])
def test_a_warmup_as_long_as_the_run_is_a_wrong_configuration(warmup):
    with pytest.raises(ConfigError, match=rf"schedule\.warmup_steps={warmup} must be below the run's 10 steps"):
        cosine(warmup_steps=warmup, final_fraction=0.0, total_steps=10)
