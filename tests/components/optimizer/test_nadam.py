"""Adam with Nesterov's momentum."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [
    {},
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"momentum_decay": 0.1},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled": True, "lr": 0.05},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "nadam",
        changes,
        lambda params, keys: torch.optim.NAdam(
            params, foreach=False, **torch_arguments(keys, decoupled="decoupled_weight_decay")
        ),
    )


def test_the_first_step_is_the_written_formula():
    w = torch.nn.Parameter(torch.zeros(1))
    optimizer = factory.build("optimizer", defaults("nadam") | {"lr": 0.1}, params=[{"params": [w]}])
    w.grad = torch.tensor([4.0])
    optimizer.step()
    first, second = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in (1, 2))
    mean = second * 0.1 * 4 / (1 - first * second) + (1 - first) * 4 / (1 - first)
    assert w.item() == pytest.approx(-0.1 * mean / 4, rel=1e-4)
