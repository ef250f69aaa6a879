"""Orthogonal momentum for matrices, AdamW for the rest."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults, path_of
from trainctl.components.optimizer.muon import orthogonal
from trainctl.run import factory

CHANGES = [
    {},
    {"nesterov": False, "momentum": 0.5},
    {"weight_decay": 0.3, "adamw_lr": 0.01},
    {"ns_steps": 2, "lr": 0.1},
]


def newton_schulz(g, steps):
    """The iteration of Jordan's code, in the gradient's precision."""
    a, b, c = (3.4445, -4.7750, 2.0315)
    x = g.mT if g.size(-2) > g.size(-1) else g
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if g.size(-2) > g.size(-1) else x


class Paper:
    """Jordan's MuonWithAuxAdam, for one matrix and one vector, written for clarity."""

    def __init__(self, groups, keys):
        (self.matrix,), (self.vector,) = (group["params"] for group in groups)
        self.keys, self.momentum = keys, torch.zeros_like(self.matrix)
        betas = (keys["beta1"], keys["beta2"])
        self.rest = torch.optim.AdamW(
            [self.vector], lr=keys["adamw_lr"], betas=betas, eps=keys["eps"], weight_decay=0.0, foreach=False
        )

    def zero_grad(self):
        self.matrix.grad = self.vector.grad = None

    def step(self):
        k, g = self.keys, self.matrix.grad
        self.momentum = k["momentum"] * self.momentum + (1 - k["momentum"]) * g
        update = (1 - k["momentum"]) * g + k["momentum"] * self.momentum if k["nesterov"] else self.momentum
        update = newton_schulz(update, k["ns_steps"]) * max(1, g.size(-2) / g.size(-1)) ** 0.5
        self.matrix.data = self.matrix.data * (1 - k["lr"] * k["weight_decay"]) - k["lr"] * update
        self.rest.step()


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_the_authors_algorithm_at_every_step(changes):
    assert_equal("muon", changes, Paper, dtype=torch.float64)  # small differences grow where directions turn


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(4, 3), (3, 6)], ids=["tall", "wide"])
def test_it_agrees_with_torch_whose_iteration_is_in_bfloat16(shape):
    keys = defaults("muon")

    def reference(groups):
        (matrix,), (vector,) = (group["params"] for group in groups)
        vector.requires_grad_(False)
        return torch.optim.Muon([matrix], lr=keys["lr"], weight_decay=0.0, momentum=0.95)

    def ours(groups):
        groups[1]["params"][0].requires_grad_(False)
        return factory.build("optimizer", keys, params=groups)

    torch.testing.assert_close(path_of(ours, shape=shape), path_of(reference, shape=shape), rtol=0, atol=0.02)


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (16, 4)])
def test_singular_values_come_close_to_one(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    values = torch.linalg.svdvals(orthogonal(matrix, 5))
    assert ((values > 0.3) & (values < 1.3)).all()


def test_filters_are_matrices_with_a_row_for_each_output():
    filters = torch.nn.Parameter(torch.zeros(24, 2, 2, 2))
    matrix = torch.nn.Parameter(torch.zeros(24, 8))
    gradient = torch.randn(24, 8, generator=torch.Generator().manual_seed(0))
    for weight in (filters, matrix):
        optimizer = factory.build("optimizer", defaults("muon"), params=[{"params": [weight]}])
        weight.grad = gradient.view(weight.shape)
        optimizer.step()
    assert torch.equal(filters.flatten(1), matrix)
    assert filters.any()


def test_matrices_and_the_rest_have_rates_of_their_own():
    weights = [torch.nn.Parameter(torch.ones(*shape)) for shape in ((2, 2), (3,), (2, 2, 1, 1))]
    optimizer = factory.build(
        "optimizer",
        defaults("muon") | {"weight_decay": 0.1},
        params=[{"params": weights[:2]}, {"params": weights[2:], "weight_decay": 0.0}],
    )
    found = [
        (group["lr"], group["weight_decay"], [tuple(w.shape) for w in group["params"]])
        for group in optimizer.param_groups
    ]
    assert found == [(0.02, 0.1, [(2, 2)]), (0.02, 0.0, [(2, 2, 1, 1)]), (0.0003, 0.1, [(3,)])]
