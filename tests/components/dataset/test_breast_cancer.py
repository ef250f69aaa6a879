"""Breast tumours, benign or malignant."""

import torch
from sklearn.datasets import load_breast_cancer

from trainctl.components.dataset.breast_cancer import breast_cancer


def test_it_equals_what_scikit_learn_loads():
    ours, theirs = breast_cancer(), load_breast_cancer()
    assert torch.equal(ours.inputs, torch.from_numpy(theirs.data).float())
    assert ours.targets.tolist() == theirs.target.tolist()
    assert list(ours.class_names) == theirs.target_names.tolist()
    assert len(ours.input_names) == len(theirs.feature_names)


def test_columns_are_named_in_scikit_learns_order():
    theirs = [name.replace(" ", "_") for name in load_breast_cancer().feature_names]
    for ours, name in zip(breast_cancer().input_names, theirs, strict=True):
        statistic, _, measure = ours.partition("_")
        assert set(name.split("_")) == {statistic, *measure.split("_")}
