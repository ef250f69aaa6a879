"""Pixels in the range 0..1, whatever the training split contains."""

import pytest
import torch

from trainctl.components.scale.pixels import pixels
from trainctl.components.scale.standard import standard
from trainctl.errors import ConfigError


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (torch.tensor([10, 200], dtype=torch.uint8), [10 / 255, 200 / 255]),  # bytes are never stretched
        (torch.tensor([0, 1], dtype=torch.uint8), [0.0, 1 / 255]),
        (torch.tensor([0.25, 0.75]), [0.25, 0.75]),
        (torch.tensor([-0.5, 0.5]), [0.25, 0.75]),
        (torch.tensor([51.0, 204.0]), [0.2, 0.8]),
    ],
    ids=["bytes", "dark bytes", "0..1", "-1..1", "0..255"],
)
def test_the_stored_range_becomes_0_to_1(stored, expected):
    images = stored.reshape(2, 1, 1, 1).expand(2, 3, 4, 4)
    scaled = pixels(values=images)(images)
    torch.testing.assert_close(scaled[:, 0, 0, 0], torch.tensor(expected))


def test_other_values_are_no_pixels():
    with pytest.raises(ConfigError, match=r"scale=pixels: pixel values must be in .*; found -3\.\.300"):
        pixels(values=torch.tensor([-3.0, 300.0]).reshape(2, 1, 1, 1))


def test_the_targets_of_a_regression_are_standardised():
    targets = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)) * 40 + 300
    assert torch.equal(pixels(values=targets)(targets), standard(values=targets)(targets))
