"""Cosine decay that starts again."""

import pytest
import torch

from tests.components.schedule.references import BASE, rates
from trainctl.components.schedule.cosine_restarts import cosine_restarts


@pytest.mark.parametrize(
    ("first", "factor", "floor", "per_epoch"),
    [(1, 1, 0.0, 7), (2, 2, 0.1, 3), (10, 2, 0.0, 1), (1, 3, 0.5, 2), (99, 2, 0.0, 2)],
)
def test_it_equals_torch_in_every_step_of_a_run(first, factor, floor, per_epoch):
    multiplier = cosine_restarts(
        warmup_steps=0,
        first_epochs=first,
        factor=factor,
        final_fraction=floor,
        total_steps=100,
        steps_per_epoch=per_epoch,
    )
    wanted = rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            o, T_0=first * per_epoch, T_mult=factor, eta_min=floor * BASE
        ),
        100,
    )
    assert [multiplier(step) for step in range(100)] == pytest.approx(wanted, abs=1e-9)


def test_restarts_count_from_the_end_of_the_warmup():
    settings = {"first_epochs": 2, "factor": 1, "final_fraction": 0.0, "total_steps": 100, "steps_per_epoch": 5}
    multiplier = cosine_restarts(warmup_steps=4, **settings)
    assert [step for step in range(100) if multiplier(step) == 1.0] == [3, *range(4, 100, 10)]
