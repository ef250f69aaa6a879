"""Elastic net."""

import pytest
import torch

from trainctl.components.regularizer.elastic_net import elastic_net
from trainctl.components.regularizer.l1 import l1
from trainctl.components.regularizer.l2 import l2


def weights():
    return [torch.nn.Parameter(torch.tensor([[1.0, -2.0]])), torch.nn.Parameter(torch.tensor([[[-4.0]], [[0.5]]]))]


def test_it_is_the_mixture_by_hand_and_so_is_its_gradient():
    params = weights()
    value = elastic_net(params=params, weight=0.1, l1_fraction=0.25).penalty()
    assert value.item() == pytest.approx(0.1 * (0.25 * 7.5 + 0.75 * 21.25))
    value.backward()
    for w in params:
        torch.testing.assert_close(w.grad, 0.1 * (0.25 * w.detach().sign() + 0.75 * 2 * w.detach()))


@pytest.mark.parametrize(("fraction", "pure"), [(1.0, l1), (0.0, l2)])
def test_at_its_ends_it_is_the_pure_penalty(fraction, pure):
    params = weights()
    mixed = elastic_net(params=params, weight=0.3, l1_fraction=fraction).penalty()
    torch.testing.assert_close(mixed, pure(params=params, weight=0.3).penalty())
