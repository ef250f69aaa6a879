"""Mixup."""

import pytest
import torch

from trainctl.components.augment.mixup import mixup


def make(alpha=1.0, dtype=torch.float32):
    return mixup(alpha=alpha, dtype=dtype, task="classification")


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_mixed_as_the_mixing_says(seed):
    rows = torch.arange(12.0).reshape(6, 2) ** 2
    out, mixing = make()(rows, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(out, mixing.weight * rows + (1 - mixing.weight) * rows[mixing.partner])


@pytest.mark.parametrize("seed", range(5))
def test_bytes_are_rounded(seed):
    rows = torch.tensor([[0], [255], [7]], dtype=torch.uint8)
    out, mixing = make(dtype=torch.uint8)(rows, torch.Generator().manual_seed(seed))
    exact = mixing.weight * rows + (1 - mixing.weight) * rows[mixing.partner]
    assert out.dtype == torch.uint8
    assert (out - exact).abs().max() <= 0.5001


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_shares_have_the_moments_of_their_distribution(alpha):
    augment, generator, rows = make(alpha), torch.Generator().manual_seed(0), torch.zeros(2, 1)
    shares = torch.stack([augment(rows, generator)[1].weight for _ in range(3000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
