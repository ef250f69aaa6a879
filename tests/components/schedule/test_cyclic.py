"""Triangular cycles."""

import pytest
import torch

from tests.components.schedule.references import BASE, rates
from trainctl.components.schedule.cyclic import cyclic


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize(
    ("up", "down", "low", "per_epoch"), [(2, None, 0.1, 7), (1, 3, 0.0, 4), (3, 1, 0.5, 5), (1, None, 0.0, 1)]
)
def test_it_equals_torch_in_every_step_of_a_run(mode, up, down, low, per_epoch):
    multiplier = cyclic(
        mode=mode, up_epochs=up, down_epochs=down, low_fraction=low, gamma=0.98, steps_per_epoch=per_epoch
    )
    wanted = rates(
        lambda o: torch.optim.lr_scheduler.CyclicLR(
            o, low * BASE, BASE, up * per_epoch, (down or up) * per_epoch, mode, 0.98, cycle_momentum=False
        ),
        150,
    )
    assert [multiplier(step) for step in range(150)] == pytest.approx(wanted, abs=1e-9)
