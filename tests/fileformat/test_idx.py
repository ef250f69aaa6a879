"""IDX files that are damaged are named, with what is wrong; whole ones are read."""

import gzip
import struct

import numpy as np
import pytest

from trainctl.errors import DataError
from trainctl.fileformat.idx import read_idx

HEADER = b"\0\0\x08\x03" + struct.pack(">III", 2, 2, 2)
DAMAGED = [
    (b"", "not an IDX file", "empty"),
    (b"\0\0\x08", "not an IDX file", "cut inside the magic number"),
    (b"\x89PNG\r\n", "not an IDX file of unsigned bytes (it starts with 89 50 4e 47)", "another format"),
    (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "not an IDX file of unsigned bytes", "IDX of floats"),
    (b"\0\0\x08\0", "not an IDX file", "no dimensions"),
    (HEADER[:9], "truncated inside its header (9 bytes)", "cut inside the header"),
    (HEADER + b"1234567", "the header declares 8 bytes of data (2, 2, 2), but the file contains 7", "one byte short"),
    (
        HEADER + b"123456789",
        "the header declares 8 bytes of data (2, 2, 2), but the file contains 9",
        "one byte too many",
    ),
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
