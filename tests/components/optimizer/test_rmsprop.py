"""Gradients divided by their running root mean square."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [
    {},
    {"momentum": 0.9, "lr": 0.001},
    {"centered": True, "lr": 0.003},
    {"centered": True, "momentum": 0.5, "alpha": 0.9, "eps": 1e-3},
    {"weight_decay": 0.1},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "rmsprop", changes, lambda params, keys: torch.optim.RMSprop(params, foreach=False, **torch_arguments(keys))
    )


@pytest.mark.parametrize("centered", [False, True])
def test_two_steps_are_the_written_formula(centered):
    w = torch.nn.Parameter(torch.zeros(1))
    keys = defaults("rmsprop") | {"lr": 0.1, "alpha": 0.5, "momentum": 0.5, "centered": centered}
    optimizer = factory.build("optimizer", keys, params=[{"params": [w]}])
    square = mean = velocity = position = 0.0
    for gradient in (2.0, -1.0):
        w.grad = torch.tensor([gradient])
        optimizer.step()
        square, mean = 0.5 * square + 0.5 * gradient**2, 0.5 * mean + 0.5 * gradient
        velocity = 0.5 * velocity + gradient / (square - centered * mean**2) ** 0.5
        position -= 0.1 * velocity
    assert w.item() == pytest.approx(position, rel=1e-5)
