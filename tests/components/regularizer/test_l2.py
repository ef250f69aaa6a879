"""L2 penalty."""

import pytest
import torch

from trainctl.components.optimizer.sgd import sgd
from trainctl.components.regularizer.l2 import l2


def test_it_is_the_sum_of_squared_weights_and_its_gradient_twice_the_weights():
    params = [torch.nn.Parameter(torch.tensor([[1.0, -2.0]])), torch.nn.Parameter(torch.tensor([[[-4.0]], [[0.5]]]))]
    value = l2(params=params, weight=0.1).penalty()
    assert value.item() == pytest.approx(0.1 * (1 + 4 + 16 + 0.25))
    value.backward()
    assert all(torch.allclose(w.grad, 0.2 * w.detach()) for w in params)


def test_with_plain_gradient_descent_it_is_a_weight_decay_of_twice_its_weight():
    plain = {"lr": 0.1, "momentum": 0.0, "dampening": 0.0, "nesterov": False}
    penalized, decayed = (torch.nn.Parameter(torch.tensor([[1.0, -2.0]])) for _ in range(2))
    first = sgd(params=[{"params": [penalized]}], weight_decay=0.0, **plain)
    second = sgd(params=[{"params": [decayed]}], weight_decay=0.6, **plain)
    for _ in range(5):
        first.zero_grad()
        l2(params=[penalized], weight=0.3).penalty().backward()
        first.step()
        decayed.grad = torch.zeros_like(decayed)
        second.step()
    torch.testing.assert_close(penalized, decayed)
