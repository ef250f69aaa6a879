"""Gaussian noise."""

import pytest
import torch

from trainctl.components.augment.noise import noise
from trainctl.run import assemble
from trainctl.settings import compose


def make(std, deviation, dtype=torch.float32):
    return noise(std=std, dtype=dtype, deviation=lambda: deviation)


def test_each_column_gets_its_share_of_its_own_deviation():
    rows = torch.tensor([5.0, -3.0]).expand(20_000, 2)
    out = make(0.5, torch.tensor([[4.0, 0.2]]))(rows, torch.Generator().manual_seed(0))
    assert out.mean(0).tolist() == pytest.approx([5.0, -3.0], abs=0.05)
    assert out.std(0).tolist() == pytest.approx([2.0, 0.1], rel=0.03)
    assert abs(torch.corrcoef((out - rows).T)[0, 1]) < 0.03


def test_bytes_are_rounded_and_clipped():
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(5000, 3, 1, 1)
    out = make(1.0, torch.full((1, 3, 1, 1), 10.0), torch.uint8)(images, torch.Generator().manual_seed(0))
    middle = out[:, 1].double()
    assert middle.mean().item() == pytest.approx(128, abs=0.5)
    assert middle.std(correction=0).item() == pytest.approx(10, rel=0.05)
    assert (out[:, 0] == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert out[:, 0].max() < 60
    assert out[:, 2].min() > 195


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_the_deviation_is_the_training_splits(name):
    run = assemble.assemble(compose.compose([f"dataset={name}", "augment=noise", "augment.noise.std=0.5"]))
    rows = run.data.splits["train"].inputs
    flat = rows.double().flatten(1) if rows.ndim == 2 else rows.double().reshape(-1, 1)
    # A constant batch shows the noise itself; bytes are given as floats in the middle of their range, far from its limits.
    constant = torch.full((200, *rows.shape[1:]), 127.5)
    out = run.augment[0](constant, torch.Generator().manual_seed(0)) - constant
    found = out.double().flatten(1).std(0) if rows.ndim == 2 else out.double().std()
    torch.testing.assert_close(found / flat.std(0), torch.full_like(found, 0.5).expand(flat.shape[1]), rtol=0.2, atol=0)
