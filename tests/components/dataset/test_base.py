"""IDX files that are damaged or do not belong together are named, with what is wrong."""

import gzip
import struct

import numpy as np
import pytest

from trainctl.components.dataset.base import read_idx, sklearn_file
from trainctl.components.dataset.mnist import mnist
from trainctl.errors import DataError, UnavailableError

HEADER = b"\0\0\x08\x03" + struct.pack(">III", 2, 2, 2)
DAMAGED = [
    (b"", "not an IDX file", "empty"),
    (b"\0\0\x08", "not an IDX file", "cut inside the magic number"),
    (b"\x89PNG\r\n", "not an IDX file of unsigned bytes (it starts with 89 50 4e 47)", "another format"),
    (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "not an IDX file of unsigned bytes", "IDX of floats"),
    (b"\0\0\x08\0", "not an IDX file", "no dimensions"),
    (HEADER[:9], "truncated inside its header (9 bytes)", "cut inside the header"),
    (HEADER + b"1234567", "the header promises 8 bytes of data (2, 2, 2), the file holds 7", "one byte short"),
    (HEADER + b"123456789", "the header promises 8 bytes of data (2, 2, 2), the file holds 9", "one byte too many"),
]
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
    ({"t10k_images": np.zeros((3, 0, 4))}, ["t10k-images-idx3-ubyte: its images have no pixels"], "no pixels"),
    ({"t10k_images": np.zeros((3, 4, 4))}, ["different sizes"], "test images of another size"),
    ({"t10k_labels": None}, ["raw: t10k-labels-idx1-ubyte missing"], "one file is not there"),
]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(("content", "message", "reason"), DAMAGED, ids=[row[-1] for row in DAMAGED])
def test_a_damaged_file_is_named(tmp_path, content, message, reason, packed):
    path = tmp_path / "train-images-idx3-ubyte"
    (tmp_path / f"{path.name}.gz" if packed else path).write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}"), reason
    assert message in str(caught.value), reason


@pytest.mark.parametrize("size", [0, 5, 30])
def test_a_packed_file_that_was_cut_is_named(tmp_path, size):
    whole = gzip.compress(HEADER + b"12345678")
    assert size < len(whole)
    (tmp_path / "labels.gz").write_bytes(whole[:size])
    with pytest.raises(DataError, match="labels"):
        read_idx(tmp_path / "labels")


def test_a_packed_file_with_a_flipped_byte_is_named(tmp_path):
    content = bytearray(gzip.compress(HEADER + b"12345678"))
    content[-6] ^= 1  # its check sum
    (tmp_path / "labels.gz").write_bytes(content)
    with pytest.raises(DataError, match="labels"):
        read_idx(tmp_path / "labels")


def test_a_packed_file_whose_compressed_data_is_damaged_is_named(tmp_path):
    content = bytearray(gzip.compress(HEADER + b"12345678"))
    content[10] ^= 0xFF  # the first byte after gzip's header
    (tmp_path / "labels.gz").write_bytes(content)
    with pytest.raises(DataError, match="labels"):
        read_idx(tmp_path / "labels")


def test_a_file_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(DataError, match=r"labels: no such file, nor labels\.gz"):
        read_idx(tmp_path / "labels")


@pytest.mark.parametrize(("shape", "content"), [((2, 3), bytes(range(6))), ((0,), b""), ((0, 28, 28), b"")])
def test_shapes_of_any_dimension_are_read_empty_ones_too(tmp_path, shape, content):
    path = tmp_path / "values"
    path.write_bytes(struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + content)
    assert read_idx(path).tolist() == np.frombuffer(content, np.uint8).reshape(shape).tolist()


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
