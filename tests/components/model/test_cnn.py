"""Convolutional network."""

from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainctl.components.model.base import ACTIVATIONS, Activation
from trainctl.components.model.cnn import cnn
from trainctl.errors import ConfigError
from trainctl.run import factory
from trainctl.settings import compose


def make(**changes):
    torch.manual_seed(0)
    settings = {
        "channels": [4], "kernel_size": 3, "padding": "same", "pooling": "max", "pool": 2, "norm": "none",
        "activation": "relu", "dropout": 0.0,
        "hidden": [], "hidden_dropout": 0.0, "input_shape": (2, 8, 6), "outputs": 3,
    }  # fmt: skip
    return cnn(**settings | changes)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_recipe_for_mnist_has_the_parameters_it_promises():
    keys = compose.compose(["recipe=mnist_cnn"]).tree["model"]
    assert (keys["channels"], keys["padding"], keys["hidden"]) == ([32, 64], "valid", [128])
    assert parameters(factory.build("model", keys, input_shape=(1, 28, 28), outputs=10)) == 225_034


@pytest.mark.parametrize(
    ("changes", "count", "reason"),
    [
        ({}, 4 * (2 * 9 + 1) + 3 * (4 * 4 * 3 + 1), "same padding, pooling halves"),
        ({"padding": "valid"}, 4 * (2 * 9 + 1) + 3 * (4 * 3 * 2 + 1), "valid padding takes a pixel on each side"),
        ({"pool": 1}, 4 * (2 * 9 + 1) + 3 * (4 * 8 * 6 + 1), "1 does not pool"),
        ({"pooling": "none"}, 4 * (2 * 9 + 1) + 3 * (4 * 8 * 6 + 1), "nor does none, whatever the window"),
        ({"pool": 4}, 4 * (2 * 9 + 1) + 3 * (4 * 2 * 1 + 1), "a rest is dropped"),
        ({"norm": "batch"}, 4 * (2 * 9 + 1) + 2 * 4 + 3 * (4 * 4 * 3 + 1), "a norm has a factor and an offset"),
        ({"norm": "layer"}, 4 * (2 * 9 + 1) + 2 * 4 + 3 * (4 * 4 * 3 + 1), "one for each channel, not for each pixel"),
        ({"channels": [4, 4], "kernel_size": [5, 1]}, 4 * (2 * 25 + 1) + 4 * 5 + 3 * (4 * 2 * 1 + 1), "two filters"),
        ({"channels": []}, 3 * (2 * 8 * 6 + 1), "no block: a linear model"),
        ({"hidden": [7]}, 4 * (2 * 9 + 1) + 7 * (4 * 4 * 3 + 1) + 3 * 8, "a hidden layer"),
        ({"kernel_size": 1}, 4 * (2 + 1) + 3 * (4 * 4 * 3 + 1), "filters of one pixel"),
    ],
)
def test_it_has_as_many_parameters_as_expected(changes, count, reason):
    model = make(**changes)
    assert parameters(model) == count, reason
    assert model(torch.zeros(2, 2, 8, 6)).shape == (2, 3)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "group"])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_a_block_is_convolution_norm_activation_and_pooling(activation, norm, pooling):
    model = make(activation=activation, norm=norm, pooling=pooling, channels=[8])
    images = torch.randn(5, 2, 8, 6)
    filters, head = model[0], model[-1]
    maps = functional.conv2d(images, filters.weight, filters.bias, padding=1)
    if norm == "batch":
        maps = (maps - maps.mean((0, 2, 3), keepdim=True)) / (
            maps.var((0, 2, 3), correction=0, keepdim=True) + 1e-5
        ).sqrt()
    if norm in ("layer", "group"):  # eight channels make two groups
        parts = [
            (part - part.mean((1, 2, 3), keepdim=True))
            / (part.var((1, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
            for part in maps.chunk(1 if norm == "layer" else 2, dim=1)
        ]
        maps = torch.cat(parts, dim=1)
    pool = functional.max_pool2d if pooling == "max" else functional.avg_pool2d
    pooled = pool(ACTIVATIONS[activation]()(maps), 2)
    torch.testing.assert_close(model(images), head(pooled.flatten(1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [2, 4, 5])
def test_same_padding_keeps_the_size_whatever_the_filter(kernel_size):
    blocks = [
        module
        for module in make(kernel_size=kernel_size, pool=1)
        if not isinstance(module, torch.nn.Linear | torch.nn.Flatten)
    ]
    values = torch.zeros(1, 2, 8, 6)
    for block in blocks[: next(index for index, block in enumerate(blocks) if isinstance(block, torch.nn.MaxPool2d))]:
        values = block(values)
    assert values.shape == (1, 4, 8, 6)


@pytest.mark.parametrize(
    ("changes", "block", "reason"),
    [
        ({"channels": [4, 4, 4], "input_shape": (1, 4, 4)}, "block 3 of 3", "pooled to one pixel before"),
        ({"padding": "valid", "input_shape": (1, 2, 9)}, "block 1 of 1", "lower than a filter"),
        ({"padding": "valid", "input_shape": (1, 9, 2)}, "block 1 of 1", "narrower than a filter"),
        ({"padding": "valid", "input_shape": (1, 3, 3)}, "block 1 of 1", "one pixel is left for a pooling of two"),
        ({"padding": "valid", "pool": 1, "kernel_size": 9}, "block 1 of 1", "a filter larger than the image"),
    ],
)
def test_an_image_that_becomes_too_small_is_a_wrong_configuration(changes, block, reason):
    with pytest.raises(ConfigError, match=block):
        make(**changes)


def test_dropout_follows_blocks_and_hidden_layers():
    model = make(channels=[4, 4], dropout=0.25, hidden=[5], hidden_dropout=0.5)
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.25, 0.25, 0.5]


def test_dropouts_and_filters_may_differ_from_block_to_block():
    model = make(channels=[4, 4], dropout=[0.1, 0.2], kernel_size=[3, 5], hidden=[5, 6], hidden_dropout=[0.3, 0.4])
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.1, 0.2, 0.3, 0.4]
    assert [layer.kernel_size for layer in model.modules() if isinstance(layer, nn.Conv2d)] == [(3, 3), (5, 5)]


def test_pooling_may_differ_from_block_to_block():
    model = make(channels=[4, 5, 6], pooling=["max", "none", "average"], pool=[2, 9, 3])
    pools = [(type(layer), layer.kernel_size) for layer in model if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)]
    assert pools == [(nn.MaxPool2d, 2), (nn.AvgPool2d, 3)]
    assert model[-1].in_features == 6  # 8 x 6 pixels, 4 x 3, and 1 x 1
    assert model(torch.zeros(1, 2, 8, 6)).shape == (1, 3)


@pytest.mark.parametrize(
    ("key", "entry"), [("dropout", 0.1), ("kernel_size", 1), ("hidden_dropout", 0.1), ("pool", 1), ("pooling", "max")]
)
def test_a_list_of_the_wrong_length_is_refused_with_both_lengths(key, entry):
    with pytest.raises(
        ConfigError, match=f"model.{key}=.* has 3 entries for 2 .*: use one value for all, or a list of 2"
    ):
        make(channels=[4, 4], hidden=[5, 5], **{key: [entry] * 3})
