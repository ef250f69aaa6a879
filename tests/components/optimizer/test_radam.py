"""Adam that waits until its second moment is known."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [
    {},
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled": True, "lr": 0.05},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "radam",
        changes,
        lambda params, keys: torch.optim.RAdam(
            params, foreach=False, **torch_arguments(keys, decoupled="decoupled_weight_decay")
        ),
    )


def test_the_first_five_steps_are_plain_momentum_and_the_sixth_is_rectified():
    w = torch.nn.Parameter(torch.zeros(1))
    optimizer = factory.build("optimizer", defaults("radam") | {"lr": 0.1}, params=[{"params": [w]}])
    steps = []
    for _ in range(6):
        before, w.grad = w.item(), torch.tensor([0.5])
        optimizer.step()
        steps.append(w.item() - before)
    assert steps[:5] == pytest.approx([-0.05] * 5, rel=1e-4)
    assert abs(steps[5]) < 0.01
