"""Autoencoder of dense layers."""

import pytest
import torch
from torch import nn

from trainctl.model.autoencoder import autoencoder
from trainctl.model.base import Reconstruction


def make(**changes):
    torch.manual_seed(0)
    settings = {
        "hidden": [8, 6],
        "bottleneck": 3,
        "activation": "relu",
        "norm": "none",
        "dropout": 0.0,
        "input_shape": (2, 3, 4),
    }
    return autoencoder(**settings | changes)


@pytest.mark.parametrize(
    ("changes", "widths", "reason"),
    [
        ({}, [24, 8, 6, 3, 6, 8, 24], "the decoder mirrors the encoder"),
        ({"hidden": []}, [24, 3, 24], "linear"),
        ({"input_shape": (5,)}, [5, 8, 6, 3, 6, 8, 5], "a table"),
    ],
)
def test_layers_narrow_to_the_code_and_widen_again(changes, widths, reason):
    layers = [layer for layer in make(**changes).modules() if isinstance(layer, nn.Linear)]
    assert [layers[0].in_features, *(layer.out_features for layer in layers)] == widths, reason


def test_code_and_output_are_linear():
    body = list(make(norm="layer", dropout=0.1).body)
    code = next(place for place, layer in enumerate(body) if isinstance(layer, nn.Linear) and layer.out_features == 3)
    assert isinstance(body[code + 1], nn.Linear)
    assert [type(layer) for layer in body[-2:]] == [nn.Linear, nn.Unflatten]


def test_it_is_marked_as_a_reconstruction():
    assert isinstance(make(), Reconstruction)


def test_it_learns_to_reproduce_what_a_code_of_its_width_can_hold():
    torch.manual_seed(0)
    rows = torch.randn(64, 3) @ torch.randn(3, 10)
    model = make(hidden=[], input_shape=(10,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (model(rows) - rows).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.01 * rows.square().mean()
