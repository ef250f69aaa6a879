"""Read arrays of numbers from .npz and .npy files; pickles are rejected."""

import math
import warnings
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import check_file

# Maximum unpacked size of an array in an .npz: the larger of this many bytes and this many times its packed size.
MOST_BYTES, MOST_TIMES = 2**30, 200


def array_names(source: Path) -> tuple[str, ...]:
    """Return the names of the arrays of an .npz; none for an .npy.

    Raises:
        DataError: If the file is damaged.
    """
    check_file(source)
    with reading(source), source.open("rb") as file:
        if file.read(2) != b"PK":
            return ()
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            return tuple(entry.filename.removesuffix(".npy") for entry in archive.infolist())


def read_array(source: Path, name: str = "inputs", *, alone: bool = True, texts: bool = False) -> np.ndarray:
    """Read an array of an .npz by its name, or the only array of an .npz or .npy.

    Args:
        source: The file.
        name: The name of the array.
        alone: Whether to accept a file's only array under any name.
        texts: Whether the array may contain texts.

    Raises:
        DataError: If there is no such array, it does not contain numbers, or the file is damaged.
    """
    check_file(source)
    with reading(source), warnings.catch_warnings(), source.open("rb") as file:
        warnings.simplefilter("ignore")  # about files written by Python 2
        packed = file.read(2) == b"PK"
        file.seek(0)
        values = _member(source, file, name, alone=alone) if packed else _array(file, source.stat().st_size)
    if values.dtype.names:
        raise DataError(
            f"{source}: `{name}` has fields with names ({', '.join(values.dtype.names[:5])}); store plain numbers:"
            " numpy.lib.recfunctions.structured_to_unstructured(x)"
        )
    if values.dtype.kind not in ("biufU" if texts else "biuf"):
        hint = "; store numbers, or a table as CSV" if values.dtype.kind in "US" else ""
        raise DataError(f"{source}: contains {values.dtype}, not numbers{hint}")
    return values


def _member(source: Path, file: IO[bytes], name: str, *, alone: bool) -> np.ndarray:
    """Read an array of an .npz by its name."""
    with zipfile.ZipFile(file) as archive:
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        if name not in members and not (alone and len(members) == 1):
            raise DataError(
                f"{source}: has no array `{name}` (arrays: {', '.join(members) or 'none'}); name the array to use `{name}`"
            )
        entry = members.get(name) or next(iter(members.values()))
        if entry.file_size > max(MOST_BYTES, MOST_TIMES * entry.compress_size):
            raise DataError(
                f"{source}: {entry.filename} unpacks from {entry.compress_size:,} to {entry.file_size:,} bytes"
            )
        with archive.open(entry) as content:
            return _array(content, entry.file_size)


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """Read an array after checking the size in its header: numpy allocates the memory before it reads."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)) or (version > (1, 0) and int.from_bytes(file.read(4), "little") > size):
        raise ValueError(f"its header is damaged, or of format {version}")
    file.seek(np.lib.format.MAGIC_LEN)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(file)
    if kind.hasobject:
        raise ValueError(
            "contains Python objects, which are pickles and may run code; store numbers: x.astype('float32'), or texts:"
            " x.astype(str)"
        )
    if any(length < 0 for length in shape) or math.prod(shape) * kind.itemsize > size - file.tell():
        raise ValueError(f"the header declares {shape} of {kind}, but the file ends early")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
