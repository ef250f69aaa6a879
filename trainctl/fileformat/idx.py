"""Read IDX files of unsigned bytes, plain or as .gz."""

import gzip
import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import check_file

PORTION = 2**24  # bytes per read


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or as ``.gz``.

    Args:
        path: The file without ``.gz``; if both exist, the plain file is read.

    Returns:
        A writable uint8 array of the shape in the header.

    Raises:
        DataError: If the file is missing, or its header or length is wrong.

    Source: Y. LeCun et al., The MNIST database, "File formats".
    """
    packed = path.with_name(f"{path.name}.gz")
    source = path if path.exists() or not packed.exists() else packed
    if not source.exists():
        raise DataError(f"{path}: no such file, nor {packed.name}")
    check_file(source)
    with reading(source), gzip.open(source) if source is packed else source.open("rb") as file:
        return _read(file, source)


def _read(file: BinaryIO | gzip.GzipFile, path: Path) -> np.ndarray:
    """Read an open file, at most one byte beyond the size in its header."""
    start = file.read(4)
    if len(start) < 4 or start[:3] != b"\0\0\x08" or not 0 < start[3] <= 8:
        raise DataError(f"{path}: not an IDX file of unsigned bytes (it starts with {start.hex(' ') or 'nothing'})")
    sizes = file.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{path}: truncated inside its header ({4 + len(sizes)} bytes)")
    shape = struct.unpack(f">{start[3]}I", sizes)
    size, content = math.prod(shape), bytearray()
    while part := file.read(min(PORTION, size + 1 - len(content))):  # a damaged header may give an absurd size
        content += part
    if len(content) != size:
        more = " or more" if len(content) > size else ""
        raise DataError(
            f"{path}: the header declares {size} bytes of data {shape}, but the file contains {len(content)}{more}"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
