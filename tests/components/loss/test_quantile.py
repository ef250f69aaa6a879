"""Quantile loss."""

import pytest
import torch

from trainctl.components.loss.mae import mae
from trainctl.components.loss.quantile import quantile

OUTPUTS = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
TARGETS = torch.tensor([[1.0, 0.0], [7.0, 6.0]])


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_it_is_the_written_formula(q):
    expected = (q * 0 + (1 - q) * 2 + q * 4 + q * 1) / 4
    assert quantile(quantile=q)(OUTPUTS, TARGETS).item() == pytest.approx(expected)


def test_the_median_is_half_the_absolute_error():
    torch.testing.assert_close(quantile(quantile=0.5)(OUTPUTS, TARGETS), mae()(OUTPUTS, TARGETS) / 2)


@pytest.mark.parametrize("q", [0.1, 0.75])
def test_scikit_learns_pinball_loss_is_the_same(q):
    from sklearn.metrics import mean_pinball_loss

    expected = mean_pinball_loss(TARGETS.numpy(), OUTPUTS.numpy(), alpha=q)
    assert quantile(quantile=q)(OUTPUTS, TARGETS).item() == pytest.approx(expected)


@pytest.mark.parametrize("q", [0.2, 0.9])
def test_its_minimum_is_the_quantile(q):
    targets = torch.arange(1001.0)[:, None]
    costs = torch.stack([quantile(quantile=q)(torch.full_like(targets, level), targets) for level in range(1001)])
    assert costs.argmin().item() == pytest.approx(1000 * q, abs=1)
