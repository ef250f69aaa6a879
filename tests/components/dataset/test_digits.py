"""Handwritten digits of 8 x 8 pixels."""

import numpy as np
from sklearn.datasets import load_digits

from trainctl.components.dataset.digits import digits


def test_it_equals_what_scikit_learn_loads_with_its_17_levels_spread_over_bytes():
    ours, theirs = digits(), load_digits()
    assert np.array_equal(ours.inputs[:, 0].numpy(), np.round(theirs.images * 255 / 16))
    assert ours.targets.tolist() == theirs.target.tolist()
    assert list(ours.class_names) == [str(name) for name in theirs.target_names]


def test_the_levels_can_be_had_back():
    assert np.array_equal(np.round(digits().inputs[:, 0].numpy() * (16 / 255)), load_digits().images)
