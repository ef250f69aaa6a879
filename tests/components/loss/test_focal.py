"""Focal loss."""

import math

import pytest
import torch
from torch.nn import functional

from trainctl.components.loss.focal import focal

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-3.0, 5.0, 1.0]])
CLASSES = torch.tensor([0, 2, 2])
COUNTS = torch.tensor([4, 1, 5])


def make(gamma, weights="none"):
    return focal(gamma=gamma, class_weights=weights, class_counts=COUNTS)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_it_is_the_written_formula(gamma):
    weights, expected = [0.25, 0.5, 2.0], []
    for row, label in zip(LOGITS.tolist(), CLASSES.tolist(), strict=True):
        p = math.exp(row[label]) / sum(math.exp(z) for z in row)
        expected.append(-weights[label] * (1 - p) ** gamma * math.log(p))
    assert make(gamma, weights)(LOGITS, CLASSES).item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_it_equals_torchvisions_for_two_classes():
    from torchvision.ops import sigmoid_focal_loss

    logits, classes = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 2
    theirs = sigmoid_focal_loss(logits[:, 1] - logits[:, 0], classes.float(), alpha=0.25, gamma=2.0, reduction="mean")
    ours = focal(gamma=2.0, class_weights=[0.75, 0.25], class_counts=torch.tensor([25, 25]))
    torch.testing.assert_close(ours(logits, classes), theirs)


def test_without_gamma_it_is_cross_entropy():
    torch.testing.assert_close(make(0.0)(LOGITS, CLASSES), functional.cross_entropy(LOGITS, CLASSES))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_a_row_that_is_certain_has_a_finite_gradient(gamma):
    outputs = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    make(gamma)(outputs, torch.tensor([0, 0])).backward()
    assert torch.isfinite(outputs.grad).all()
    assert outputs.grad[1].any()
