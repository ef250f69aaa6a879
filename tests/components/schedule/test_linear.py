"""Linear decay."""

import pytest
import torch

from tests.components.schedule.references import rates
from trainctl.components.schedule.linear import linear


@pytest.mark.parametrize(("total", "floor"), [(1, 0.0), (10, 0.0), (57, 0.1), (20, 1.0)])
def test_it_equals_torch_in_every_step_of_a_run(total, floor):
    multiplier = linear(warmup_steps=0, final_fraction=floor, total_steps=total)
    wanted = rates(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=floor, total_iters=total), total + 1
    )
    assert [multiplier(step) for step in range(total + 1)] == pytest.approx(wanted, abs=1e-12)


def test_with_warmup_it_is_the_written_formula_and_stays_at_its_end():
    multiplier = linear(warmup_steps=5, final_fraction=0.2, total_steps=25)
    for t in range(5, 26):
        assert multiplier(t) == pytest.approx(1 - 0.8 * (t - 5) / 20)
    assert multiplier(99) == pytest.approx(0.2)
