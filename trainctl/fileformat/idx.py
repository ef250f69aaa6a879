"""An IDX file, as MNIST is published in -> an array of bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.place import check_file

PORTION = 2**24  # bytes that are read at once


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or as ``.gz``.

    Args:
        path: The file without ``.gz``; the plain file is read if both exist.

    Returns:
        A uint8 array of the shape in the header.

    Raises:
        DataError: If the file is missing, or its header or length is wrong.

    Source: Y. LeCun et al., The MNIST database, "File formats".
    """
    packed = path.with_name(f"{path.name}.gz")
    file = path if path.exists() else packed
    if file.exists():  # a pipe may never end
        check_file(file)
    try:
        with gzip.open(file) if file is packed else file.open("rb") as stream:
            return _parse(stream, file)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, nor {packed.name}") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: sizes whose product overflows
        raise DataError(f"{file}: cannot be read: {error}") from error


def _parse(stream: BinaryIO | gzip.GzipFile, path: Path) -> np.ndarray:
    """Read an opened IDX file, at most one byte beyond the length in its header."""
    start = stream.read(4)
    if len(start) < 4 or start[:3] != b"\0\0\x08" or not 0 < start[3] <= 8:
        raise DataError(f"{path}: not an IDX file of unsigned bytes (it starts with {start.hex(' ') or 'nothing'})")
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{path}: truncated inside its header ({4 + len(sizes)} bytes)")
    shape = struct.unpack(f">{start[3]}I", sizes)
    size, content = math.prod(shape), bytearray()
    while part := stream.read(min(PORTION, size + 1 - len(content))):  # the header may give any size
        content += part
    if len(content) != size:
        more = " or more" if len(content) > size else ""
        raise DataError(
            f"{path}: the header promises {size} bytes of data {shape}, the file contains {len(content)}{more}"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
