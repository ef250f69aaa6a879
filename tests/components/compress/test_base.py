"""Masks keep weights at 0, and exactly as many weights are kept as were asked for."""

import pytest
import torch
from torch import nn

from trainctl.components.compress.base import Masks, kept, largest, prunable, ranked


def model(*, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize("count", range(7))
def test_exactly_so_many_are_kept_also_among_equal_values(count):
    values = torch.tensor([[1.0, 2.0, 2.0], [2.0, 0.0, 2.0]])
    keep = largest(values, count)
    assert int(keep.sum()) == count
    dropped = values[~keep]
    assert not (count and dropped.numel()) or values[keep].min() >= dropped.max()


def test_the_largest_of_all_layers_or_of_each_layer_are_kept():
    magnitudes = {"a": torch.arange(1.0, 11.0).view(2, 5), "b": torch.arange(11.0, 21.0).view(5, 2)}
    together, each = ranked(magnitudes, 0.5, by_layer=False), ranked(magnitudes, 0.5, by_layer=True)
    assert [int(part.sum()) for part in together.values()] == [0, 10]
    assert [int(part.sum()) for part in each.values()] == [5, 5]
    assert each["a"].tolist() == [[False] * 5, [True] * 5]


def test_one_weight_is_always_kept():
    assert kept(3, 0.99) == 1
    assert kept(1000, 0.9) == 100


def test_biases_norms_and_frozen_weights_are_not_pruned():
    net = model()
    net[3].weight.requires_grad_(False)
    assert list(prunable(net)) == ["0.weight"]


def test_what_is_0_at_the_start_stays_0_and_a_tensor_of_zeros_is_trained():
    net = model()
    with torch.no_grad():
        net[0].weight[0] = 0
        net[3].weight.zero_()
    masks = Masks(net)
    with torch.no_grad():
        net[0].weight.add_(1.0)
        net[3].weight.add_(1.0)
    masks.clear_weights()
    assert not net[0].weight[0].any()
    assert net[0].weight[1:].all()
    assert net[3].weight.all()


def test_an_infinite_weight_under_a_mask_is_not_hidden():
    net = model()
    masks = Masks(net)
    masks.masks["0.weight"][0, 0] = 0
    with torch.no_grad():
        net[0].weight[0, 0] = torch.inf
    masks.clear_weights()
    assert net[0].weight[0, 0].isnan()


def test_gradients_of_masked_weights_count_for_nothing():
    net = model()
    masks = Masks(net)
    masks.masks["0.weight"].zero_()
    net(torch.ones(4, 6)).sum().backward()
    masks.clear_gradients()
    assert not net[0].weight.grad.any()
    assert net[3].bias.grad.any()
