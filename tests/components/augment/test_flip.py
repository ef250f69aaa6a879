"""Random mirroring."""

import pytest
import torch

from trainctl.components.augment.base import Visit
from trainctl.components.augment.flip import flip

IMAGES = torch.tensor([[[[1, 2, 3], [4, 5, 6]]], [[[7, 8, 9], [10, 11, 12]]]], dtype=torch.uint8)
MIRRORED = [[[[3, 2, 1], [6, 5, 4]]], [[[9, 8, 7], [12, 11, 10]]]]


def flipped(probability, images=IMAGES, seed=0):
    change = flip(probability=probability, alternating=False, input_shape=tuple(images.shape[1:]), draws=None)
    return change(images, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_probability_1_mirrors_left_to_right_and_0_does_nothing(seed):
    assert flipped(1.0, seed=seed).tolist() == MIRRORED
    assert torch.equal(flipped(0.0, seed=seed), IMAGES)


@pytest.mark.parametrize("probability", [0.25, 0.5])
def test_the_share_of_mirrored_images_is_the_probability(probability):
    images = torch.tensor([1, 2], dtype=torch.uint8).expand(10_000, 1, 1, 2)
    share = (flipped(probability, images)[:, 0, 0, 0] == 2).double().mean().item()
    assert share == pytest.approx(probability, abs=0.02)


def test_the_channels_of_an_image_are_mirrored_together():
    images = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)[:, None].expand(200, 2, 1, 2)
    assert {tuple(row) for row in flipped(0.5, images).flatten(1).tolist()} == {(1, 2, 3, 4), (2, 1, 4, 3)}


@pytest.mark.parametrize("epoch", range(4))
def test_alternating_each_row_has_a_side_of_its_own_and_the_other_one_in_every_second_epoch(epoch):
    draws = torch.tensor([0.1, 0.9, 0.4, 0.5])
    change = flip(probability=0.5, alternating=True, input_shape=(1, 1, 2), draws=lambda: draws)
    rows = torch.tensor([3, 2, 1, 0, 2])
    images = torch.tensor([1, 2], dtype=torch.uint8).expand(5, 1, 1, 2)
    shown = change(images, torch.Generator().manual_seed(epoch), visit=Visit(epoch, rows))
    first = [False, True, False, True, True]  # of rows 3, 2, 1, 0, 2: a draw below the probability
    assert (shown[:, 0, 0, 0] == 2).tolist() == [side != (epoch % 2 == 1) for side in first]
