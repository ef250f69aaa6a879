"""Adam, with moments that are corrected, and decay added to the gradient."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

DEFAULTS = defaults("adam")
CHANGES = [
    {},
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"weight_decay": 0.1},
    {"amsgrad": True, "beta2": 0.5},
]


def reference(params, keys):
    return torch.optim.Adam(params, fused=False, foreach=False, **torch_arguments(keys))


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal("adam", changes, reference, torch.float64)


def test_the_first_step_is_the_learning_rate_whatever_the_gradient():
    w = torch.nn.Parameter(torch.zeros(3))
    optimizer = factory.build("optimizer", DEFAULTS | {"lr": 0.01}, params=[{"params": [w]}])
    w.grad = torch.tensor([1e-3, 1.0, -1e3])
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([-0.01, -0.01, 0.01]), rtol=1e-4, atol=0)
