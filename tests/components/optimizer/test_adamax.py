"""Adam with the largest gradient instead of the mean square."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [
    {},
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"weight_decay": 0.1},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "adamax", changes, lambda params, keys: torch.optim.Adamax(params, foreach=False, **torch_arguments(keys))
    )


def test_a_large_gradient_is_remembered():
    w = torch.nn.Parameter(torch.zeros(1))
    keys = defaults("adamax") | {"lr": 0.1, "beta1": 0.0, "beta2": 0.5}
    optimizer = factory.build("optimizer", keys, params=[{"params": [w]}])
    for gradient, wanted in ((8.0, -0.1), (1.0, -0.125), (1.0, -0.175)):  # measured by 8, then 4, then 2
        w.grad = torch.tensor([gradient])
        optimizer.step()
        assert w.item() == pytest.approx(wanted)
