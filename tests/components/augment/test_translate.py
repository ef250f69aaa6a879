"""Random shifts by a share of the size."""

import pytest
import torch

from trainctl.components.augment.translate import translate
from trainctl.errors import ConfigError


def test_every_shift_up_to_the_share_comes_up_and_no_other():
    image = torch.zeros(2000, 1, 10, 20, dtype=torch.uint8)
    image[:, :, 5, 10] = 7
    out = translate(fraction=0.2, input_shape=(1, 10, 20))(image, torch.Generator().manual_seed(0))
    rows, columns = out.flatten(1).argmax(1) // 20, out.flatten(1).argmax(1) % 20
    assert set((rows - 5).tolist()) == set(range(-2, 3))
    assert set((columns - 10).tolist()) == set(range(-4, 5))
    assert torch.equal(out.sum((1, 2, 3)), torch.full((2000,), 7))


def test_what_comes_in_is_zero():
    out = translate(fraction=0.5, input_shape=(1, 2, 2))(
        torch.full((200, 1, 2, 2), 9, dtype=torch.uint8), torch.Generator().manual_seed(0)
    )
    assert {tuple(row) for row in out.flatten(1).tolist()} == {
        (9, 9, 9, 9), (0, 9, 0, 9), (9, 0, 9, 0), (0, 0, 9, 9), (9, 9, 0, 0),
        (0, 0, 0, 9), (0, 0, 9, 0), (0, 9, 0, 0), (9, 0, 0, 0),
    }  # fmt: skip


def test_a_shift_below_a_pixel_is_a_wrong_configuration():
    with pytest.raises(ConfigError, match=r"augment.translate.fraction=0.1 is less than a pixel for images of 8 x 8"):
        translate(fraction=0.1, input_shape=(1, 8, 8))
