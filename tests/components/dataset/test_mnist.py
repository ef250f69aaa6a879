"""MNIST's handwritten digits."""

import pytest
import torch

from trainctl.components.dataset.mnist import mnist
from trainctl.errors import DataError


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_the_four_files_are_read_training_first(idx_files, packed):
    files = idx_files("MNIST", packed=packed)
    dataset = mnist(root=files.root, download=False)
    assert dataset.inputs.dtype == torch.uint8
    assert dataset.inputs[:, 0].tolist() == [*files.arrays[0].tolist(), *files.arrays[2].tolist()]
    assert dataset.targets.tolist() == [*files.arrays[1].tolist(), *files.arrays[3].tolist()]
    assert dataset.targets.dtype == torch.int64
    assert dataset.test_rows == 3


def test_it_has_ten_named_classes(idx_files):
    dataset = mnist(root=idx_files("MNIST").root, download=False)
    assert len(set(dataset.class_names)) == dataset.outputs == 10
    assert dataset.class_names[7] == "7"


def test_files_of_another_set_are_missing_files(idx_files):
    files = idx_files("KMNIST")
    with pytest.raises(DataError, match=r"MNIST/raw: train-images-idx3-ubyte, .* missing: set dataset\.download=true"):
        mnist(root=files.root, download=False)
