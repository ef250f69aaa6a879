"""Random rotations."""

import math

import pytest
import torch

from trainctl.components.augment.rotate import rotate, rotated


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3])
def test_quarter_turns_are_exact(quarters, size, dtype):
    images = torch.randint(0, 256, (2, 3, size, size), generator=torch.Generator().manual_seed(0)).to(dtype)
    out = rotated(images, torch.full((2,), quarters * math.pi / 2))
    torch.testing.assert_close(
        out, torch.rot90(images, quarters, (2, 3)), rtol=0, atol=0.0 if dtype == torch.uint8 else 1e-3
    )


def test_half_a_turn_of_an_image_that_is_no_square():
    image = torch.arange(1, 7, dtype=torch.uint8).reshape(1, 1, 2, 3)
    assert rotated(image, torch.tensor([math.pi])).tolist() == [[[[6, 5, 4], [3, 2, 1]]]]


def test_a_quarter_turn_keeps_pixels_square_where_the_image_is_not():
    image = torch.zeros(1, 1, 3, 7, dtype=torch.uint8)
    image[0, 0, 1, 2:5] = torch.tensor([10, 20, 30], dtype=torch.uint8)  # lying in the middle, then standing
    out = rotated(image, torch.tensor([math.pi / 2]))
    assert out[0, 0, :, 3].tolist() == [30, 20, 10]
    assert out.sum() == 60


def test_each_image_turns_by_its_own_angle():
    images = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    out = rotated(images, torch.tensor([0.0, math.pi / 2]))
    assert torch.equal(out[0], images[0])
    assert torch.equal(out[1], torch.rot90(images[1], 1, (1, 2)))


def test_corners_that_come_in_are_zero_and_the_middle_stays():
    image = torch.full((1, 1, 9, 9), 100, dtype=torch.uint8)
    out = rotated(image, torch.tensor([math.pi / 4]))
    assert out[0, 0, 0, 0] == 0
    assert out[0, 0, 4, 4] == 100


def test_no_angle_is_larger_than_asked():
    # A bright pixel on the rim of a large image shows the angle.
    image = torch.zeros(500, 1, 41, 41)
    image[:, :, 20, 40] = 1.0
    out = rotate(degrees=30, input_shape=(1, 41, 41))(image, torch.Generator().manual_seed(0))
    place = out.flatten(1).argmax(1)
    angle = torch.atan2(20.0 - place // 41, place % 41 - 20.0).rad2deg()
    assert angle.abs().max() <= 32
    assert angle.min() < -25
    assert angle.max() > 25
    assert abs(angle.mean()) < 3
