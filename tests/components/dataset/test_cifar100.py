"""CIFAR-100's photographs."""

import pickle

import numpy as np
import pytest

from trainctl.components.dataset.cifar100 import CLASSES, cifar100
from trainctl.errors import DataError

BATCHES = ("train", "test")


@pytest.fixture
def root(tmp_path):
    """Write small batches of the real format: pickles of protocol 2 with keys of bytes."""
    folder = tmp_path / "data" / "cifar-100-python"
    folder.mkdir(parents=True)
    for number, batch in enumerate(BATCHES):
        images = np.full((2, 3072), number, dtype=np.uint8)
        images[:, 1024] = 200  # the first pixel's green
        content = {b"data": images, b"fine_labels": [number, 100 - 1], b"filenames": [b"a.png", b"b.png"]}
        (folder / batch).write_bytes(pickle.dumps(content, protocol=2))
    return tmp_path / "data"


def test_batches_are_read_in_order_the_test_batch_last(root):
    dataset = cifar100(root=str(root), download=False)
    assert dataset.inputs.shape == (2 * len(BATCHES), 3, 32, 32)
    assert dataset.inputs[::2, 0, 5, 5].tolist() == list(range(len(BATCHES)))
    assert dataset.inputs[0, 1, 0, :2].tolist() == [200, 0]
    assert dataset.targets.tolist() == [label for number in range(len(BATCHES)) for label in (number, 100 - 1)]
    assert dataset.test_rows == 2


def test_classes_are_as_many_as_the_labels():
    assert len(set(CLASSES)) == 100
    assert list(CLASSES) == sorted(CLASSES)


def test_a_label_out_of_range_is_named(root):
    path = root / "cifar-100-python" / BATCHES[-1]
    path.write_bytes(pickle.dumps({b"data": np.zeros((1, 3072), dtype=np.uint8), b"fine_labels": [100]}, protocol=2))
    with pytest.raises(DataError, match=rf"{BATCHES[-1]}: label 100 in row 0 is not in 0\.\."):
        cifar100(root=str(root), download=False)
