"""Exponential decay."""

import pytest
import torch

from trainctl.components.schedule.exponential import exponential


@pytest.mark.parametrize(("gamma", "steps_per_epoch"), [(0.9, 1), (0.5, 7), (1.0, 3)])
def test_with_a_staircase_it_equals_torch_in_every_step_of_a_run(gamma, steps_per_epoch):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=gamma)
    multiplier = exponential(
        warmup_steps=0, gamma=gamma, staircase=True, total_steps=99, steps_per_epoch=steps_per_epoch
    )
    for number in range(8 * steps_per_epoch):
        assert multiplier(number) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if (number + 1) % steps_per_epoch == 0:
            reference.step()


def test_without_a_staircase_every_step_takes_its_share_and_epochs_agree():
    settings = {"warmup_steps": 0, "gamma": 0.8, "total_steps": 30, "steps_per_epoch": 5}
    smooth, stairs = exponential(staircase=False, **settings), exponential(staircase=True, **settings)
    for step in range(1, 30):
        assert smooth(step) == pytest.approx(smooth(step - 1) * 0.8 ** (1 / 5))
        assert smooth(step) < stairs(step) or step % 5 == 0
    assert smooth(20) == pytest.approx(stairs(20)) == pytest.approx(0.8**4)
