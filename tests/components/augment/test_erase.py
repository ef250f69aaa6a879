"""Random erasing."""

import pytest
import torch

from trainctl.components.augment.erase import erase
from trainctl.errors import ConfigError

KEYS = {"probability": 1.0, "min_fraction": 0.1, "max_fraction": 0.3, "min_aspect": 0.5, "fill": "zero"}


def erased(rows=500, shape=(2, 20, 30), **changes):
    images = torch.full((rows, *shape), 9, dtype=torch.uint8)
    return erase(**KEYS | changes, input_shape=shape)(images, torch.Generator().manual_seed(0))


def test_what_is_missing_is_one_rectangle_in_all_channels_of_the_asked_size():
    gone = erased() == 0
    assert torch.equal(gone[:, 0], gone[:, 1])
    heights, widths = gone[:, 0].any(2).sum(1), gone[:, 0].any(1).sum(1)
    assert torch.equal(gone[:, 0].sum((1, 2)), heights * widths)
    area = (heights * widths) / 600
    assert 0.08 < area.min() < 0.13
    assert 0.27 < area.max() < 0.33
    ratio = heights / widths
    assert 0.4 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.4


def test_it_reaches_every_pixel():
    assert (erased(3000) == 0).any(0).all()


def test_the_share_of_images_is_the_probability():
    assert not (erased(probability=0.0) == 0).any()
    share = (erased(4000, probability=0.3) == 0).flatten(1).any(1).double().mean().item()
    assert share == pytest.approx(0.3, abs=0.03)


def test_a_rectangle_may_be_filled_with_random_pixels():
    out = erased(fill="random")
    changed = out[out != 9]
    assert changed.double().mean().item() == pytest.approx(127.5, abs=2)
    assert (changed.min(), changed.max()) == (0, 255)


def test_the_whole_image_may_go_and_a_pixel_may():
    assert not erased(min_fraction=1.0, max_fraction=1.0, min_aspect=1.0, shape=(1, 6, 6)).any()
    tiny = erased(min_fraction=1e-6, max_fraction=1e-6, shape=(1, 6, 6)) == 0
    assert torch.equal(tiny.sum((1, 2, 3)), torch.ones(500, dtype=torch.long))


def test_areas_in_the_wrong_order_are_a_wrong_configuration():
    with pytest.raises(ConfigError, match=r"augment.erase.min_fraction=0.5 exceeds augment.erase.max_fraction=0.3"):
        erased(min_fraction=0.5)
