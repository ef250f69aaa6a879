"""Residual network of the CIFAR family."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainctl.components.model.base import ByteDropout
from trainctl.components.model.resnet import Block, resnet
from trainctl.errors import ConfigError


def make(**changes):
    torch.manual_seed(0)
    settings = {
        "depth": 8, "width": 1, "shortcut": "A", "norm": "batch", "activation": "relu", "dropout": 0.0,
        "input_shape": (3, 32, 32), "outputs": 10,
    }  # fmt: skip
    return resnet(**settings | changes)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("depth", "millions"), [(20, "0.27"), (32, "0.46"), (44, "0.66"), (56, "0.85"), (110, "1.7")])
def test_it_has_the_published_number_of_parameters(depth, millions):
    # He et al. 2016, table 6
    assert f"{parameters(make(depth=depth)) / 1e6:.{len(millions) - 2}f}" == millions


def test_the_depth_counts_the_layers_with_weights():
    for depth in (8, 14, 20):
        layers = [layer for layer in make(depth=depth).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert len(layers) == depth


def test_a_projection_adds_two_convolutions_and_their_norms():
    assert parameters(make(shortcut="B")) - parameters(make()) == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64


def test_stages_have_16_32_and_64_channels_at_full_half_and_quarter_size():
    maps = []
    model = make(depth=14)
    for layer in model:
        if isinstance(layer, Block):
            layer.register_forward_hook(lambda module, inputs, output: maps.append(tuple(output.shape[1:])))
    model(torch.randn(2, 3, 32, 32))
    assert maps == [(16, 32, 32)] * 2 + [(32, 16, 16)] * 2 + [(64, 8, 8)] * 2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7), (1, 1, 1), (2, 5, 2)], ids=str)
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_odd_and_tiny_images_fit_both_shortcuts(shape, shortcut):
    assert make(input_shape=shape, shortcut=shortcut)(torch.randn(2, *shape)).shape == (2, 10)


def test_the_width_multiplies_the_channels():
    filters = [block.body[0].out_channels for block in make(width=2) if isinstance(block, Block)]
    assert filters == [32, 64, 128]
    assert [block.body[0].out_channels for block in make(width=0.25) if isinstance(block, Block)] == [4, 8, 16]


def test_a_block_is_two_convolutions_with_norms_and_a_padded_shortcut():
    block = [layer for layer in make().eval() if isinstance(layer, Block)][1]
    maps = torch.randn(4, 16, 6, 6)
    first, second = (layer for layer in block.body if isinstance(layer, nn.Conv2d))
    still = (1 + 1e-5) ** -0.5  # batch norm in evaluation, before any training
    hidden = functional.relu(functional.conv2d(maps, first.weight, stride=2, padding=1) * still)
    body = functional.conv2d(hidden, second.weight, padding=1) * still
    shortcut = torch.zeros(4, 32, 3, 3)
    shortcut[:, :16] = maps[:, :, ::2, ::2]
    torch.testing.assert_close(block(maps), functional.relu(shortcut + body), rtol=1e-4, atol=1e-5)


def test_within_a_stage_the_shortcut_is_the_identity():
    blocks = [layer for layer in make(depth=14, shortcut="B") if isinstance(layer, Block)]
    kinds = [isinstance(block.shortcut, nn.Identity) for block in blocks]
    assert kinds == [True, True, False, True, False, True]


def test_without_norm_convolutions_have_biases_and_with_it_none():
    for norm in ("none", "batch", "layer", "group"):
        biases = [layer.bias is not None for layer in make(norm=norm).modules() if isinstance(layer, nn.Conv2d)]
        assert set(biases) == {norm == "none"}


def test_dropout_stands_between_a_blocks_convolutions():
    for block in (layer for layer in make(dropout=0.3) if isinstance(layer, Block)):
        assert [type(layer) for layer in block.body][2:5] == [nn.ReLU, ByteDropout, nn.Conv2d]


@pytest.mark.parametrize(("depth", "near"), [(18, "14 or 20"), (9, "8 or 14")])
def test_another_depth_is_refused_with_the_nearest_ones(depth, near):
    with pytest.raises(ConfigError, match=f"model.depth={depth}: .*use model.depth={near}"):
        make(depth=depth)


def test_it_learns_a_few_images_by_heart():
    images, classes = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 4
    model = make(input_shape=(1, 8, 8), outputs=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(images), classes)
        loss.backward()
        optimizer.step()
    assert loss < 0.1
