"""Decay in steps."""

import pytest
import torch

from trainctl.components.schedule.step import step


@pytest.mark.parametrize(
    ("every_epochs", "gamma", "steps_per_epoch"), [(1, 0.5, 1), (2, 0.1, 5), (3, 0.9, 4), (100, 0.1, 3), (1, 1.0, 2)]
)
def test_it_equals_torch_in_every_step_of_a_run(every_epochs, gamma, steps_per_epoch):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=every_epochs, gamma=gamma)
    multiplier = step(
        warmup_steps=0, every_epochs=every_epochs, gamma=gamma, total_steps=99, steps_per_epoch=steps_per_epoch
    )
    for number in range(8 * steps_per_epoch):
        assert multiplier(number) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if (number + 1) % steps_per_epoch == 0:
            reference.step()
