"""Steps of one size along the sign of the momentum."""

import pytest
import torch

from tests.components.optimizer.paths import assert_equal, defaults
from trainctl.run import factory

CHANGES = [{"lr": 0.003}, {"lr": 0.01, "beta1": 0.5, "beta2": 0.8}, {"lr": 0.01, "weight_decay": 0.3}]


class Paper:
    """Algorithm 2 of Chen et al. 2023, line by line."""

    def __init__(self, groups, keys):
        self.keys = keys
        self.weights = [
            (w, group.get("weight_decay", keys["weight_decay"])) for group in groups for w in group["params"]
        ]
        self.momenta = [torch.zeros_like(w) for w, _ in self.weights]

    def zero_grad(self):
        for w, _ in self.weights:
            w.grad = None

    def step(self):
        for i, (w, decay) in enumerate(self.weights):
            m, g, k = self.momenta[i], w.grad, self.keys
            update = k["beta1"] * m + (1 - k["beta1"]) * g
            w.data = w.data - k["lr"] * (torch.sign(update) + decay * w.data)
            self.momenta[i] = k["beta2"] * m + (1 - k["beta2"]) * g


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_it_equals_the_papers_algorithm_at_every_step(changes):
    assert_equal("lion", changes, Paper)


def test_every_weight_moves_by_the_rate_whatever_the_gradient():
    w = torch.nn.Parameter(torch.zeros(4))
    optimizer = factory.build("optimizer", defaults("lion") | {"lr": 0.01}, params=[{"params": [w]}])
    w.grad = torch.tensor([1e-6, 1.0, -1e6, 0.0])
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([-0.01, -0.01, 0.01, 0.0]))
