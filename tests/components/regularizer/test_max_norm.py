"""Limit on the norm of each unit's weights."""

import pytest
import torch
from torch import nn

from trainctl.components.regularizer.max_norm import max_norm


def test_long_rows_are_shortened_and_short_ones_stay():
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]))
    max_norm(params=[weight], limit=2.0).project()
    torch.testing.assert_close(weight.detach(), torch.tensor([[1.2, 1.6], [0.3, 0.4], [0.0, 0.0]]))


def test_a_filter_is_limited_as_a_whole():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 8, 5)
    before = layer.weight.detach().clone()
    max_norm(params=[layer.weight], limit=0.5).project()
    norms = before.flatten(1).norm(dim=1)
    wanted = before * (0.5 / norms).clamp(max=1)[:, None, None, None]
    torch.testing.assert_close(layer.weight.detach(), wanted)
    assert layer.weight.detach().flatten(1).norm(dim=1).max().item() <= 0.5 * (1 + 1e-5)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0"])
def test_each_unit_of_each_recurrent_gate_is_limited(name):
    torch.manual_seed(0)
    weight = getattr(nn.LSTM(20, 6), name)
    max_norm(params=[weight], limit=0.1).project()
    assert weight.detach().norm(dim=1).tolist() == pytest.approx([0.1] * 24, rel=1e-5)


def test_biases_stay():
    bias = nn.Parameter(torch.tensor([9.0]))
    assert max_norm(params=[bias], limit=1.0).project is None
