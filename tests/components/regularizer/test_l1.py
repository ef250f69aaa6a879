"""L1 penalty."""

import pytest
import torch

from trainctl.components.regularizer.l1 import l1


def test_it_is_the_sum_of_absolute_weights_and_its_gradient_their_sign():
    params = [torch.nn.Parameter(torch.tensor([[1.0, -2.0]])), torch.nn.Parameter(torch.tensor([[[-4.0]], [[0.5]]]))]
    value = l1(params=params, weight=0.1).penalty()
    assert value.item() == pytest.approx(0.1 * (1 + 2 + 4 + 0.5))
    value.backward()
    assert all(torch.equal(w.grad, 0.1 * w.detach().sign()) for w in params)


def test_it_sees_the_weights_of_the_moment():
    w = torch.nn.Parameter(torch.ones(1, 2))
    regularizer = l1(params=[w], weight=1.0)
    w.data.fill_(3.0)
    assert regularizer.penalty().item() == 6.0
