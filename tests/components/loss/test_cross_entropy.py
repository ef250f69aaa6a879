"""Cross entropy of classes."""

import math

import pytest
import torch
from torch.nn import functional

from trainctl.components.loss.cross_entropy import cross_entropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-3.0, 5.0, 1.0]])
CLASSES = torch.tensor([0, 2, 2])
COUNTS = torch.tensor([1, 0, 2])


def make(smoothing=0.0, weights="none"):
    return cross_entropy(label_smoothing=smoothing, class_weights=weights, class_counts=COUNTS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_it_equals_torch(smoothing):
    loss = make(smoothing)(LOGITS, CLASSES)
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.5, 3.0, 2.0]])
def test_it_is_the_written_formula(smoothing, weights):
    expected = []
    for row, label in zip(LOGITS.tolist(), CLASSES.tolist(), strict=True):
        total = sum(math.exp(z) for z in row)
        shares = [(1 - smoothing) * (k == label) + smoothing / 3 for k in range(3)]
        terms = zip(weights, shares, row, strict=True)
        expected.append(-sum(w * q * math.log(math.exp(z) / total) for w, q, z in terms))
    loss = make(smoothing, weights)(LOGITS, CLASSES)
    assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_with_balanced_weights_it_equals_torchs_over_the_rows_that_were_counted():
    # There the mean weight is 1, so that dividing by rows or by their weights is the same.
    weights = torch.tensor([3 / (3 * 1), 3.0, 3 / (3 * 2)])
    wanted = functional.cross_entropy(LOGITS, CLASSES, weight=weights)
    torch.testing.assert_close(make(weights="balanced")(LOGITS, CLASSES) * 3 / 2, wanted)


def test_guessing_costs_the_logarithm_of_the_number_of_classes():
    loss = cross_entropy(label_smoothing=0.0, class_weights="none", class_counts=torch.ones(10))
    assert loss(torch.zeros(5, 10), torch.arange(5)).item() == pytest.approx(math.log(10))


def test_it_is_for_classes_only():
    assert make().tasks == ("classification",)
