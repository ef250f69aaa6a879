"""Convolutional network of the CIFAR-10 speed records."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainctl.components.model.airbench import airbench
from trainctl.errors import ConfigError


def make(**changes):
    torch.manual_seed(0)
    settings = {
        "channels": [64, 256, 256], "kernel_size": 2, "norm": "batch", "activation": "gelu", "output_factor": 1 / 9,
        "input_shape": (3, 32, 32), "outputs": 10,
    }  # fmt: skip
    return airbench(**settings | changes)


class Listing(nn.Module):
    """The network of the paper's listing, for 3 x 32 x 32, written for clarity."""

    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.blocks = nn.ModuleList()
        for before, after in ((24, 64), (64, 256), (256, 256)):
            first, second = (nn.Conv2d(depth, after, 3, padding="same", bias=False) for depth in (before, after))
            self.blocks.append(
                nn.ModuleList([first, nn.BatchNorm2d(after, momentum=0.4), second, nn.BatchNorm2d(after, momentum=0.4)])
            )
        self.head = nn.Linear(256, 10)

    def forward(self, images):
        maps = functional.gelu(self.whiten(images))
        for first, norm1, second, norm2 in self.blocks:
            maps = functional.gelu(norm1(functional.max_pool2d(first(maps), 2)))
            maps = functional.gelu(norm2(second(maps)))
        return self.head(functional.max_pool2d(maps, 3).flatten(1)) / 9


def test_it_is_the_network_of_the_papers_listing():
    ours, paper = make(), Listing()
    paper.load_state_dict(dict(zip(paper.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(ours(images), paper(images))
    torch.testing.assert_close(ours.eval()(images), paper.eval()(images))  # the running statistics


def test_the_first_convolution_has_the_filters_that_whitening_needs():
    for depth, size, filters in ((3, 2, 24), (1, 2, 8), (3, 3, 54)):
        assert make(kernel_size=size, input_shape=(depth, 32, 32))[0].out_channels == filters


def test_the_output_factor_multiplies_the_outputs():
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(make(output_factor=1.0)(images), 9 * make()(images))


def test_what_is_left_of_an_image_is_pooled_whatever_its_shape():
    assert make(input_shape=(1, 9, 33), channels=[4, 5])(torch.randn(2, 1, 9, 33)).shape == (2, 10)


def test_images_too_small_for_the_blocks_are_a_wrong_configuration():
    with pytest.raises(ConfigError, match=r"block 3 of 3 has only 1 x 1 pixels to pool: use fewer model\.channels"):
        make(input_shape=(1, 8, 8))
