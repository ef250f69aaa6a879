"""Random shifts."""

import pytest
import torch
from torch.nn import functional

from trainctl.components.augment.crop import crop
from trainctl.errors import ConfigError


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize(("border", "mode", "count"), [("zero", "constant", 25), ("reflect", "reflect", 20)])
def test_every_output_is_a_window_of_the_padded_image_and_every_window_comes_up(dtype, border, mode, count):
    height, width, padding = 3, 4, 2
    first = torch.arange(1, 1 + height * width).reshape(1, height, width)
    image = torch.cat([first, first + 100]).to(dtype)  # two channels, no pixel twice
    padded = functional.pad(image.float(), [padding] * 4, mode=mode).to(dtype)
    windows = {
        tuple(padded[:, y : y + height, x : x + width].flatten().tolist())
        for y in range(2 * padding + 1)
        for x in range(2 * padding + 1)
    }
    assert len(windows) == count  # four rows and columns of a reflection come twice

    batch = image.expand(1000, 2, height, width)
    out = crop(padding=padding, border=border, input_shape=(2, height, width))(batch, torch.Generator().manual_seed(0))
    assert {tuple(row) for row in out.flatten(1).tolist()} == windows


def test_each_row_is_cut_from_its_own_image():
    batch = torch.arange(1, 51, dtype=torch.uint8)[:, None, None, None].expand(50, 1, 4, 4)
    out = crop(padding=1, border="zero", input_shape=(1, 4, 4))(batch, torch.Generator().manual_seed(0))
    assert torch.equal(out.amax((1, 2, 3)), torch.arange(1, 51, dtype=torch.uint8))


@pytest.mark.parametrize(("padding", "shape"), [(4, (1, 4, 9)), (4, (1, 9, 4)), (5, (3, 4, 4))])
def test_a_border_as_wide_as_the_image_is_a_wrong_configuration(padding, shape):
    with pytest.raises(
        ConfigError, match=rf"augment\.crop\.padding={padding} must be below the image size {shape[1]} x {shape[2]}"
    ):
        crop(padding=padding, border="reflect", input_shape=shape)
