"""Averaged stochastic gradient descent."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, torch_arguments
from trainctl.run import factory

CHANGES = [{}, {"lr": 0.5, "lambd": 0.1, "alpha": 0.5}, {"start_steps": 5, "lr": 0.1}, {"weight_decay": 0.1, "lr": 0.1}]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    assert_equal(
        "asgd",
        changes,
        lambda params, keys: torch.optim.ASGD(params, foreach=False, **torch_arguments(keys, start_steps="t0")),
    )


def test_the_average_is_the_mean_of_the_weights_after_the_start():
    w = torch.nn.Parameter(torch.zeros(2))
    optimizer = factory.build("optimizer", defaults("asgd") | {"start_steps": 4}, params=[{"params": [w]}])
    seen, generator = [], torch.Generator().manual_seed(0)
    for _ in range(12):
        w.grad = torch.randn(2, generator=generator)
        optimizer.step()
        seen.append(w.detach().clone())
    # As in PyTorch the share of a step is that of the step before: the mean begins with step 5 or 6 alike.
    torch.testing.assert_close(optimizer.state[w]["ax"], torch.stack(seen[5:]).mean(0), rtol=1e-4, atol=1e-6)
