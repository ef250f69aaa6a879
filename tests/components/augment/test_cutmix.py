"""CutMix."""

import pytest
import torch

from trainctl.components.augment.cutmix import cutmix


def mixed(seed, shape=(2, 8, 10), rows=6, alpha=1.0):
    images = torch.arange(1, rows + 1, dtype=torch.uint8)[:, None, None, None].expand(rows, *shape)
    out, mixing = cutmix(alpha=alpha, input_shape=shape, task="classification")(
        images, torch.Generator().manual_seed(seed)
    )
    return images, out, mixing


@pytest.mark.parametrize("seed", range(30))
def test_a_rectangle_is_the_partners_and_the_share_is_what_stays(seed):
    images, out, mixing = mixed(seed)
    pasted = out != images
    row = int((mixing.partner != torch.arange(6)).nonzero()[0])
    inside = pasted[row, 0]
    assert inside.any(1).sum() * inside.any(0).sum() == inside.sum()
    assert mixing.weight.item() == pytest.approx(1 - inside.double().mean().item())
    assert torch.equal(out, torch.where(inside, images[mixing.partner], images))


def test_it_reaches_every_pixel_and_keeps_every_pixel():
    inside = torch.stack([(out != images).any(0)[0] for images, out, _ in map(mixed, range(300))])
    assert inside.any(0).all()
    assert not inside.all(0).any()


def test_the_share_is_nearly_even_but_for_what_the_edges_cut():
    shares = torch.stack([mixed(seed, (1, 40, 40), 2)[2].weight for seed in range(500)])
    assert 0.55 < shares.mean() < 0.75
    assert shares.min() < 0.2
    assert shares.max() > 0.97


def test_images_of_one_pixel_are_kept_or_swapped():
    shares = {mixed(seed, (1, 1, 1), 2)[2].weight.item() for seed in range(50)}
    assert shares <= {0.0, 1.0}
