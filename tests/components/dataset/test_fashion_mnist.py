"""Fashion-MNIST's articles of clothing."""

import pytest
import torch

from trainctl.components.dataset.fashion_mnist import fashion_mnist
from trainctl.errors import DataError


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_the_four_files_are_read_training_first(idx_files, packed):
    files = idx_files("FashionMNIST", packed=packed)
    dataset = fashion_mnist(root=files.root, download=False)
    assert dataset.inputs.dtype == torch.uint8
    assert dataset.inputs[:, 0].tolist() == [*files.arrays[0].tolist(), *files.arrays[2].tolist()]
    assert dataset.targets.tolist() == [*files.arrays[1].tolist(), *files.arrays[3].tolist()]
    assert dataset.targets.dtype == torch.int64
    assert dataset.test_rows == 3


def test_it_has_ten_named_classes(idx_files):
    dataset = fashion_mnist(root=idx_files("FashionMNIST").root, download=False)
    assert len(set(dataset.class_names)) == dataset.outputs == 10
    assert (dataset.class_names[0], dataset.class_names[9]) == ("t-shirt", "ankle boot")


def test_files_of_another_set_are_missing_files(idx_files):
    files = idx_files("KMNIST")
    with pytest.raises(
        DataError, match=r"FashionMNIST/raw: train-images-idx3-ubyte, .* missing: set dataset\.download=true"
    ):
        fashion_mnist(root=files.root, download=False)
