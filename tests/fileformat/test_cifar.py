"""CIFAR's pickles are read, and nothing in them is executed."""

import os
import pickle

import numpy as np
import pytest

from trainctl.errors import DataError
from trainctl.fileformat.cifar import read_batch

IMAGES = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("kind", [str, bytes])
def test_batches_of_every_protocol_are_read(tmp_path, protocol, kind):
    keys = [key if kind is str else key.encode() for key in ("data", "labels")]
    (tmp_path / "batch").write_bytes(pickle.dumps(dict(zip(keys, (IMAGES, [3, 1]), strict=True)), protocol=protocol))
    images, labels = read_batch(tmp_path / "batch", "labels")
    assert images.reshape(2, -1).tolist() == IMAGES.tolist()
    assert labels.tolist() == [3, 1]


def test_a_pickle_that_would_execute_is_refused(tmp_path):
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": Evil(), "labels": [1]}))
    with pytest.raises(DataError, match=r"it names posix\.mkdir, which an array does not need"):
        read_batch(tmp_path / "batch", "labels")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"no pickle", "damaged"),
        (pickle.dumps({"data": IMAGES, "labels": [1, 2]})[:500], "damaged"),
        (pickle.dumps([1]), "not a batch of CIFAR"),
        (pickle.dumps({"data": IMAGES}), "contains no images of 3 x 32 x 32 bytes with labels"),
        (pickle.dumps({"data": IMAGES.astype(float), "labels": [1, 2]}), "contains no images"),
        (pickle.dumps({"data": IMAGES, "labels": ["a", "b"]}), "contains no images"),
        (pickle.dumps({"data": IMAGES, "labels": [1, 2**70]}), "contains no images"),
        (pickle.dumps({b"\xff": 1, "data": IMAGES}), "contains no images"),
        (b"P1\n.", "not a batch of CIFAR, or damaged: unsupported persistent id encountered"),
        (pickle.dumps({"data": IMAGES, "labels": [1]}), "contains 2 images but 1 labels"),
    ],
)
def test_a_file_that_is_no_batch_is_named(tmp_path, content, message):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_batch(tmp_path / "batch", "labels")
    assert "batch: " in str(caught.value)
