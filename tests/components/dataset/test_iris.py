"""Fisher's iris flowers."""

import torch
from sklearn.datasets import load_iris

from trainctl.components.dataset.iris import iris


def test_it_equals_what_scikit_learn_loads():
    ours, theirs = iris(), load_iris()
    assert torch.equal(ours.inputs, torch.from_numpy(theirs.data).float())
    assert ours.targets.tolist() == theirs.target.tolist()
    assert list(ours.class_names) == theirs.target_names.tolist()
    assert len(ours.input_names) == len(theirs.feature_names)


def test_columns_are_named_in_scikit_learns_order():
    assert [name.replace(" (cm)", "").replace(" ", "_") for name in load_iris().feature_names] == list(
        iris().input_names
    )
