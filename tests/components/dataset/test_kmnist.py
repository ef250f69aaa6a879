"""Kuzushiji-MNIST's characters."""

import pytest
from torchvision.datasets import KMNIST

from trainctl.components.dataset.kmnist import CLASSES, kmnist


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_the_four_files_are_read_training_first(idx_files, packed):
    files = idx_files("KMNIST", packed=packed)
    dataset = kmnist(root=files.root, download=False)
    assert dataset.inputs[:, 0].tolist() == [*files.arrays[0].tolist(), *files.arrays[2].tolist()]
    assert dataset.test_rows == 3


def test_classes_are_torchvisions():
    assert list(CLASSES) == KMNIST.classes
