"""Steps in the unit of the weights."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [
    {},
    {"lr": 0.5, "rho": 0.5},
    {"eps": 1e-2},
    {"weight_decay": 0.1},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "adadelta", changes, lambda params, keys: torch.optim.Adadelta(params, foreach=False, **torch_arguments(keys))
    )


def test_the_first_step_is_the_written_formula():
    w = torch.nn.Parameter(torch.zeros(2))
    optimizer = factory.build("optimizer", defaults("adadelta") | {"eps": 0.01}, params=[{"params": [w]}])
    w.grad = gradient = torch.tensor([3.0, -0.5])
    optimizer.step()
    torch.testing.assert_close(w.detach(), -(0.01**0.5) / (0.1 * gradient.square() + 0.01).sqrt() * gradient)
