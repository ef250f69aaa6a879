"""Hinge loss."""

import pytest
import torch
from torch.nn import functional

from trainctl.components.loss.hinge import hinge

SCORES = torch.tensor([[3.0, 1.0, 2.5], [0.0, 0.0, 0.0], [-1.0, 4.0, 1.0], [5.0, 0.0, 1.0]])
CLASSES = torch.tensor([0, 1, 2, 0])


def test_it_is_the_written_formula():
    assert hinge(margin=1.0)(SCORES, CLASSES).item() == pytest.approx((0.5 + 1.0 + 4.0 + 0.0) / 4)
    assert hinge(margin=5.0)(SCORES, CLASSES).item() == pytest.approx((4.5 + 5.0 + 8.0 + 1.0) / 4)


def test_only_the_right_class_and_the_best_wrong_one_have_a_gradient():
    scores = SCORES.clone().requires_grad_()
    (4 * hinge(margin=1.0)(scores, CLASSES)).backward()
    assert scores.grad[0].tolist() == [-1.0, 0.0, 1.0]
    assert scores.grad[3].tolist() == [0.0, 0.0, 0.0]


def test_with_two_classes_it_is_twice_torchs():
    scores, classes = SCORES[:, :2], torch.tensor([0, 1, 0, 1])
    torch.testing.assert_close(hinge(margin=1.0)(scores, classes), 2 * functional.multi_margin_loss(scores, classes))
