"""The weights of classes."""

import numpy as np
import pytest
import torch

from trainctl.components.loss.base import weights_of


def test_balanced_weights_equal_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 5 + [1] * 2 + [2] * 13)
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    assert weights_of("balanced", torch.bincount(labels)).tolist() == pytest.approx(wanted.tolist())


def test_balanced_weights_have_the_mean_1_over_the_rows():
    counts = torch.tensor([7, 1, 4])
    assert (weights_of("balanced", counts) * counts).sum().item() == pytest.approx(12)


def test_a_class_without_a_row_is_counted_as_one_row():
    assert weights_of("balanced", torch.tensor([3, 0])).tolist() == [0.5, 1.5]


def test_without_weights_there_is_nothing_to_multiply():
    assert weights_of("none", torch.tensor([3, 1])) is None


def test_given_weights_are_taken_as_they_are():
    assert weights_of([1, 2.5], torch.tensor([3, 1])).tolist() == [1, 2.5]
