"""Polynomial decay."""

import pytest
import torch

from tests.components.schedule.references import rates
from trainctl.components.schedule.polynomial import polynomial


@pytest.mark.parametrize(("total", "power"), [(1, 1.0), (10, 0.9), (57, 2.0)])
def test_it_equals_torch_in_every_step_of_a_run(total, power):
    multiplier = polynomial(warmup_steps=0, power=power, final_fraction=0.0, total_steps=total)
    wanted = rates(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=total, power=power), total + 1)
    assert [multiplier(step) for step in range(total + 1)] == pytest.approx(wanted, abs=1e-7)


def test_with_warmup_and_a_floor_it_is_the_written_formula():
    multiplier = polynomial(warmup_steps=5, power=2.0, final_fraction=0.2, total_steps=25)
    for t in range(5, 26):
        assert multiplier(t) == pytest.approx(0.2 + 0.8 * (1 - (t - 5) / 20) ** 2)
    assert multiplier(99) == 0.2
