"""Files of one data set that do not belong together are named, with what is wrong."""

import numpy as np
import pytest

from trainctl.components.dataset._published import sklearn_file
from trainctl.components.dataset.mnist import mnist
from trainctl.errors import DataError, UnavailableError

MISFITS = [
    (
        {"train_labels": np.arange(6)},
        ["train-images-idx3-ubyte", "(7, 5, 4)", "train-labels-idx1-ubyte", "(6,)"],
        "a label short",
    ),
    ({"t10k_images": np.zeros((4, 5, 4))}, ["t10k-images-idx3-ubyte", "(4, 5, 4)", "(3,)"], "an image too many"),
    ({"train_images": np.arange(7)}, ["train-images-idx3-ubyte has shape (7,)"], "labels in the place of images"),
    ({"train_labels": np.zeros((7, 2))}, ["train-labels-idx1-ubyte has (7, 2)"], "labels in two columns"),
    (
        {"train_labels": np.array([0, 1, 2, 10, 4, 5, 6])},
        ["train-labels-idx1-ubyte: label 10 in row 3 is not in 0..9"],
        "label out of range",
    ),
    (
        {"t10k_labels": np.array([0, 1, 255])},
        ["t10k-labels-idx1-ubyte: label 255 in row 2"],
        "label out of range, test",
    ),
    ({"t10k_images": np.zeros((3, 0, 4))}, ["t10k-images-idx3-ubyte: the images have no pixels"], "no pixels"),
    ({"t10k_images": np.zeros((3, 4, 4))}, ["different sizes"], "test images of another size"),
    ({"t10k_labels": None}, ["raw: t10k-labels-idx1-ubyte missing"], "one file is not there"),
]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("changes", "parts", "reason"), MISFITS, ids=[row[-1] for row in MISFITS])
def test_files_that_do_not_fit_together_are_named(idx_files, changes, parts, reason, packed):
    files = idx_files("MNIST", packed=packed, **changes)
    with pytest.raises(DataError) as caught:
        mnist(root=files.root, download=False)
    assert str(files.raw) in str(caught.value)
    assert all(part in str(caught.value) for part in parts), reason


def test_a_file_that_scikit_learn_does_not_carry_is_named():
    with pytest.raises(UnavailableError, match=r"scikit-learn's data file nothing\.csv is not installed"):
        sklearn_file("nothing.csv")
