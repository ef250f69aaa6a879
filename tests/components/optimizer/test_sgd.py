"""Gradient descent with momentum."""

from pathlib import Path

import pytest
import torch
import yaml

from trainctl.errors import ConfigError
from trainctl.run import factory

DEFAULTS = yaml.safe_load((Path(__file__).parents[3] / "conf" / "optimizer" / "sgd.yaml").read_text())
CHANGES = [
    {},
    {"momentum": 0.0},
    {"nesterov": True},
    {"dampening": 0.5},
    {"weight_decay": 0.1, "lr": 0.02},
]


def reference(params, keys):
    settings = {key: value for key, value in keys.items() if key != "name"}
    return torch.optim.SGD(params, fused=False, foreach=False, **settings)


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
