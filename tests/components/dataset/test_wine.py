"""Chemical analyses of wines."""

import torch
from sklearn.datasets import load_wine

from trainctl.components.dataset.wine import wine


def test_it_equals_what_scikit_learn_loads():
    ours, theirs = wine(), load_wine()
    assert torch.equal(ours.inputs, torch.from_numpy(theirs.data).float())
    assert ours.targets.tolist() == theirs.target.tolist()
    assert list(ours.class_names) == theirs.target_names.tolist()
    assert len(ours.input_names) == len(theirs.feature_names)


def test_columns_are_named_in_scikit_learns_order():
    theirs = [name.replace("od280/od315_of_diluted_wines", "od280_od315") for name in load_wine().feature_names]
    assert theirs == list(wine().input_names)
