"""Train a small nonlinear regression with every optimizer and with a reference, and compare all weights."""

from pathlib import Path

import torch
import yaml

from trainctl.run import factory

CONF = Path(__file__).parents[3] / "conf" / "optimizer"


def defaults(name):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return {key: value for key, value in keys.items() if key != "defaults"}


def path_of(make, steps=50, shape=(4, 3), dtype=torch.float32):
    """Return a weight that may decay and a bias that may not, after each step."""
    generator = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(20, size, generator=generator, dtype=dtype) for size in shape)
    weight = torch.nn.Parameter(torch.randn(*shape, generator=generator, dtype=dtype))
    bias = torch.nn.Parameter(torch.zeros(shape[1], dtype=dtype))
    optimizer, path = make([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}]), []
    for _ in range(steps):
        optimizer.zero_grad()
        (torch.tanh(inputs @ weight + bias) - targets).square().mean().backward()
        optimizer.step()
        path.append(torch.cat([weight.detach().flatten(), bias.detach()]))
    return torch.stack(path)


def assert_equal(name, changes, reference, dtype=torch.float32):
    """Assert that a member and ``reference(params, keys)`` take the same 50 steps, and that the weights change."""
    keys = defaults(name) | changes
    ours = path_of(lambda params: factory.build("optimizer", keys, params=params), dtype=dtype)
    theirs = path_of(lambda params: reference(params, keys), dtype=dtype)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours[0], ours[-1], atol=1e-3)


def torch_arguments(keys, **renamed):
    """Return a member's settings under the names of torch.optim."""
    arguments = {renamed.get(key, key): value for key, value in keys.items() if key not in ("name", "beta1", "beta2")}
    return arguments | ({"betas": (keys["beta1"], keys["beta2"])} if "beta1" in keys else {})
