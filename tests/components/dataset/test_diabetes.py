"""Progression of diabetes after a year."""

import torch
from sklearn.datasets import load_diabetes

from trainctl.components.dataset.diabetes import diabetes


def test_it_equals_what_scikit_learn_loads_in_original_units():
    ours, theirs = diabetes(), load_diabetes(scaled=False)
    assert torch.equal(ours.inputs, torch.from_numpy(theirs.data).float())
    assert torch.equal(ours.targets, torch.from_numpy(theirs.target).float()[:, None])
    assert list(ours.input_names) == theirs.feature_names


def test_it_is_a_regression_of_one_value():
    assert (diabetes().task, diabetes().outputs, diabetes().target_names) == ("regression", 1, ("progression",))
