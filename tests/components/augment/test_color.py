"""Random brightness, contrast and saturation."""

import pytest
import torch

from trainctl.components.augment.color import adjusted, color
from trainctl.errors import ConfigError

GREY = torch.tensor([[[[10.0, 30.0], [50.0, 110.0]]]])  # mean 50
RED = torch.tensor([100.0, 0.0, 0.0]).reshape(1, 3, 1, 1)


def factors(*values):
    return [torch.tensor(value).reshape(1, 1, 1, 1) for value in values]


def test_each_factor_does_what_the_formula_says():
    assert adjusted(GREY, *factors(2.0, 1.0, 1.0)).flatten().tolist() == [20, 60, 100, 220]
    assert adjusted(GREY, *factors(1.0, 0.5, 1.0)).flatten().tolist() == [30, 40, 50, 80]
    assert adjusted(GREY, *factors(1.0, 1.0, 0.0)).flatten().tolist() == GREY.flatten().tolist()
    assert adjusted(RED, *factors(1.0, 1.0, 0.0)).flatten().tolist() == pytest.approx([29.9] * 3)
    assert adjusted(RED, *factors(1.0, 1.0, 0.5)).flatten().tolist() == pytest.approx([64.95, 14.95, 14.95])


@pytest.mark.parametrize(
    ("name", "position"), [("adjust_brightness", 0), ("adjust_contrast", 1), ("adjust_saturation", 2)]
)
@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
def test_each_equals_torchvisions(name, position, factor):
    from torchvision.transforms import functional

    images = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    given = factors(*[factor if place == position else 1.0 for place in range(3)])
    theirs = getattr(functional, name)(images, factor)  # clipped to 0..1
    torch.testing.assert_close(adjusted(images, *given).clamp(0, 1), theirs, rtol=0, atol=3e-4)


def test_bytes_are_rounded_and_clipped():
    image = torch.tensor([[[[3, 200]]]], dtype=torch.uint8)
    assert adjusted(image, *factors(1.5, 1.0, 1.0)).flatten().tolist() == [4, 255]
    assert adjusted(image, *factors(1.0, 2.0, 1.0)).flatten().tolist() == [0, 255]


def test_factors_keep_within_their_strength():
    images = torch.full((1000, 1, 1, 1), 100.0)
    out = color(brightness=0.3, contrast=0.0, saturation=0.0, input_shape=(1, 1, 1))(
        images, torch.Generator().manual_seed(0)
    )
    assert 70 <= out.min() < 72
    assert 128 < out.max() <= 130
    none = color(brightness=0.0, contrast=0.0, saturation=0.0, input_shape=(1, 1, 1))
    torch.testing.assert_close(none(images, torch.Generator().manual_seed(0)), images)


def test_images_of_other_channels_are_a_wrong_configuration():
    with pytest.raises(ConfigError, match="augment=color needs grey or RGB images; these images have 2 channels"):
        color(brightness=0.1, contrast=0.1, saturation=0.1, input_shape=(2, 4, 4))
