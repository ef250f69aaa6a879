"""Adam, with moments that are corrected, and decay added to the gradient."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl.run import factory

DEFAULTS = yaml.safe_load((Path(__file__).parents[3] / "conf" / "optimizer" / "adam.yaml").read_text())
CHANGES = [
    {},
    {"lr": 0.05, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"weight_decay": 0.1},
    {"amsgrad": True, "beta2": 0.5},
]


def reference(params, keys):
    settings = {key: keys[key] for key in ("lr", "eps", "weight_decay", "amsgrad")}
    return torch.optim.Adam(params, fused=False, foreach=False, betas=(keys["beta1"], keys["beta2"]), **settings)


def path_of(make):
    """Return the weights after each of 50 steps of a small nonlinear regression."""
    generator = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(20, width, generator=generator, dtype=torch.float64) for width in (4, 3))
    weight = torch.nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
    bias = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer, steps = make([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}]), []
    for _ in range(50):
        optimizer.zero_grad()
        (torch.tanh(inputs @ weight + bias) - targets).square().mean().backward()
        optimizer.step()
        steps.append(torch.cat([weight.detach().flatten(), bias.detach()]))
    return torch.stack(steps)


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_torch_at_every_step(changes):
    keys = DEFAULTS | changes
    ours = path_of(lambda params: factory.build("optimizer", keys, params=params))
    theirs = path_of(lambda params: reference(params, keys))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours[0], ours[-1], atol=1e-3)


def test_the_first_step_is_the_learning_rate_whatever_the_gradient():
    w = torch.nn.Parameter(torch.zeros(3))
    optimizer = factory.build("optimizer", DEFAULTS | {"lr": 0.01}, params=[{"params": [w]}])
    w.grad = torch.tensor([1e-3, 1.0, -1e3])
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([-0.01, -0.01, 0.01]), rtol=1e-4, atol=0)
