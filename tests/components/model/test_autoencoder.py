"""Autoencoder of dense layers."""

import pytest
import torch
from torch import nn

from trainctl.components.model.autoencoder import autoencoder
from trainctl.components.model.base import ByteDropout, Reconstruction
from trainctl.errors import ConfigError


def make(**changes):
    torch.manual_seed(0)
    settings = {
        "channels": [],
        "kernel_size": 3,
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


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 7, 5), (2, 1, 9), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_convolutions_give_back_the_size_they_were_given_odd_ones_too(shape, kernel_size):
    model = make(channels=[4, 6, 2], kernel_size=kernel_size, input_shape=shape)
    assert model(torch.randn(2, *shape)).shape == (2, *shape)


def test_each_convolution_of_the_encoder_halves_and_the_decoder_mirrors_it():
    model, maps = make(channels=[4, 6], input_shape=(1, 7, 5)), []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda module, inputs, output: maps.append(tuple(output.shape[1:])))
    model(torch.randn(2, 1, 7, 5))
    assert maps == [(4, 4, 3), (6, 2, 2), (4, 4, 3), (1, 7, 5)]
    widths = [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert widths == [8, 6, 3, 6, 8, 24]


def test_the_output_of_a_convolutional_one_is_linear_and_hidden_maps_have_norm_activation_and_dropout():
    body = list(make(channels=[4, 6], norm="batch", dropout=0.1, input_shape=(1, 8, 8)).body)
    assert isinstance(body[-1], nn.Conv2d)
    hidden = [place for place, layer in enumerate(body[:-1]) if isinstance(layer, nn.Conv2d)]
    for place in hidden:
        assert [type(layer) for layer in body[place + 1 : place + 4]] == [nn.BatchNorm2d, nn.ReLU, ByteDropout]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": [4], "input_shape": (5,)}, r"model.channels=\[4\] needs images; .* use model.channels=\[\]"),
        ({"channels": [4], "kernel_size": 4}, "model.kernel_size=4 must be odd: use model.kernel_size=5"),
    ],
)
def test_what_convolutions_cannot_do_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        make(**changes)
