"""Cross entropy of two classes."""

import math

import pytest
import torch
from torch.nn import functional

from trainctl.components.loss.binary_cross_entropy import binary_cross_entropy
from trainctl.errors import ConfigError

LOGITS = torch.tensor([[2.0, 0.0], [0.5, 0.5], [-3.0, 5.0], [100.0, -100.0]])
CLASSES = torch.tensor([0, 1, 0, 1])
COUNTS = torch.tensor([30, 10])


def make(weight=1.0, counts=COUNTS):
    return binary_cross_entropy(positive_weight=weight, class_counts=counts)


def test_unweighted_it_equals_the_cross_entropy_of_the_two():
    torch.testing.assert_close(make()(LOGITS, CLASSES), functional.cross_entropy(LOGITS, CLASSES))


def test_it_is_the_written_formula():
    expected = []
    for (z0, z1), y in zip(LOGITS.tolist()[:3], CLASSES.tolist()[:3], strict=True):
        p = 1 / (1 + math.exp(-(z1 - z0)))
        expected.append(-(2.5 * y * math.log(p) + (1 - y) * math.log(1 - p)))
    assert make(2.5)(LOGITS[:3], CLASSES[:3]).item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_balanced_both_classes_weigh_the_same():
    torch.testing.assert_close(make("balanced")(LOGITS, CLASSES), make(3.0)(LOGITS, CLASSES))
    assert torch.isfinite(make("balanced", torch.tensor([5, 0]))(LOGITS, CLASSES))


def test_more_than_two_classes_are_a_wrong_configuration():
    with pytest.raises(ConfigError, match="for two classes, but the data has 10: use loss=cross_entropy"):
        make(counts=torch.ones(10, dtype=torch.long))


@pytest.mark.parametrize("weight", [1.0, "balanced"])
def test_where_nothing_is_classified_the_task_is_what_is_wrong(weight):
    assert make(weight, torch.zeros(0, dtype=torch.long)).tasks == ("classification",)
