"""A learning rate of its own for every weight."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [
    {},
    {"lr": 0.5, "lr_decay": 0.1},
    {"initial_accumulator": 0.5, "eps": 1e-3},
    {"weight_decay": 0.1, "lr": 0.1},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "adagrad",
        changes,
        lambda params, keys: torch.optim.Adagrad(
            params, foreach=False, **torch_arguments(keys, initial_accumulator="initial_accumulator_value")
        ),
    )


def test_under_a_constant_gradient_steps_fall_with_the_root_of_their_number():
    w = torch.nn.Parameter(torch.zeros(2))
    optimizer = factory.build("optimizer", defaults("adagrad") | {"lr": 0.1}, params=[{"params": [w]}])
    for number in range(1, 5):
        before, w.grad = w.detach().clone(), torch.tensor([3.0, -1e-3])
        optimizer.step()
        torch.testing.assert_close(w.detach() - before, torch.tensor([-0.1, 0.1]) / number**0.5, rtol=1e-4, atol=0)
