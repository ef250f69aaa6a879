"""Gradient descent with momentum."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.errors import ConfigError
from trainctl.run import factory

DEFAULTS = defaults("sgd")
CHANGES = [
    {},
    {"momentum": 0.0},
    {"nesterov": True},
    {"dampening": 0.5},
    {"weight_decay": 0.1, "lr": 0.02},
]


def reference(params, keys):
    return torch.optim.SGD(params, fused=False, foreach=False, **torch_arguments(keys))


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal("sgd", changes, reference, torch.float64)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"momentum": 0.0}, "nothing to look ahead with"), ({"dampening": 0.1}, "the formula has no dampening")],
)
def test_nesterov_contradicts_some_settings(changes, reason):
    keys = DEFAULTS | {"nesterov": True} | changes
    with pytest.raises(ConfigError, match=r"optimizer\.nesterov=true needs optimizer\.momentum"):
        factory.build("optimizer", keys, params=[{"params": [torch.nn.Parameter(torch.ones(1))]}])


def test_momentum_is_the_written_formula():
    w = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = factory.build("optimizer", DEFAULTS | {"lr": 0.1, "momentum": 0.5}, params=[{"params": [w]}])
    for _ in range(2):
        w.grad = torch.tensor([2.0])
        optimizer.step()
    # v1 = 2, w1 = 1 - 0.2; v2 = 0.5 * 2 + 2 = 3, w2 = 0.8 - 0.3
    assert w.item() == pytest.approx(0.5)
