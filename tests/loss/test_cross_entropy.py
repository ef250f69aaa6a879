"""Cross entropy of classes."""

import math

import pytest
import torch
from torch.nn import functional

from trainctl.loss.cross_entropy import cross_entropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-3.0, 5.0, 1.0]])
CLASSES = torch.tensor([0, 2, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_it_equals_torch(smoothing):
    loss = cross_entropy(label_smoothing=smoothing)(LOGITS, CLASSES)
    torch.testing.assert_close(loss, functional.cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_it_is_the_written_formula(smoothing):
    expected = []
    for row, label in zip(LOGITS.tolist(), CLASSES.tolist(), strict=True):
        total = sum(math.exp(z) for z in row)
        shares = [(1 - smoothing) * (k == label) + smoothing / 3 for k in range(3)]
        expected.append(-sum(q * math.log(math.exp(z) / total) for q, z in zip(shares, row, strict=True)))
    loss = cross_entropy(label_smoothing=smoothing)(LOGITS, CLASSES)
    assert loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_guessing_costs_the_logarithm_of_the_number_of_classes():
    assert cross_entropy(label_smoothing=0.0)(torch.zeros(5, 10), torch.arange(5)).item() == pytest.approx(math.log(10))


def test_it_is_for_classes_only():
    assert cross_entropy(label_smoothing=0.0).tasks == ("classification",)
