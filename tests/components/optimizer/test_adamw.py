"""AdamW: Adam with decay beside the gradient."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

DEFAULTS = defaults("adamw")
CHANGES = [
    {},
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"weight_decay": 0.5},
    {"amsgrad": True, "beta2": 0.5},
]


def reference(params, keys):
    return torch.optim.AdamW(params, fused=False, foreach=False, **torch_arguments(keys))


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal("adamw", changes, reference, torch.float64)


def test_decay_shrinks_weights_by_rate_times_decay_and_nothing_else():
    w = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = factory.build("optimizer", DEFAULTS | {"lr": 0.1, "weight_decay": 0.5}, params=[{"params": [w]}])
    w.grad = torch.zeros(1)
    optimizer.step()
    assert w.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))
