"""An .npz or .npy file -> an array of numbers, never a pickle."""

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from trainctl.errors import DataError

DAMAGED = (
    OSError, ValueError, EOFError, KeyError, OverflowError, RuntimeError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_array(source: Path, name: str = "inputs", *, alone: bool = True) -> np.ndarray:
    """Read an array of an .npz by its name, or the one that an .npz or .npy holds.

    Args:
        source: The file.
        name: Of the array.
        alone: Whether the only array of a file will do, whatever its name.

    Raises:
        DataError: If there is no such array, or it holds no numbers.
    """
    try:
        with source.open("rb") as file:
            _refuse_bombs(file, source)
            loaded = np.load(file, allow_pickle=False)
            names = [""] if isinstance(loaded, np.ndarray) else loaded.files
            if name not in names and not (alone and len(names) == 1):
                raise DataError(f"{source}: holds {', '.join(names) or 'nothing'}; name the array to use `{name}`")
            values = loaded if isinstance(loaded, np.ndarray) else loaded[name if name in names else names[0]]
    except DAMAGED as error:
        raise DataError(f"{source}: cannot be read: {' '.join(str(error).split())}") from error
    if not np.issubdtype(values.dtype, np.number) and values.dtype != bool:
        raise DataError(f"{source}: holds {values.dtype}, not numbers")
    if np.issubdtype(values.dtype, np.complexfloating):
        raise DataError(f"{source}: holds complex numbers")
    return values


def _refuse_bombs(file: BinaryIO, source: Path) -> None:
    """Refuse a file of arrays that unpack to far more than it holds; numpy would make room for them first.

    Raises:
        DataError: If a member unpacks to more than 1 GiB and 200 times its size.
    """
    if zipfile.is_zipfile(file):
        file.seek(0)
        with zipfile.ZipFile(file) as packed:
            for member in packed.infolist():
                if member.file_size > max(2**30, 200 * member.compress_size):
                    raise DataError(
                        f"{source}: {member.filename} unpacks from {member.compress_size:,} to {member.file_size:,} bytes"
                    )
                with packed.open(member) as stream:
                    _check_header(stream, member.file_size, source)
    else:
        file.seek(0)
        _check_header(file, source.stat().st_size, source)
    file.seek(0)


def _check_header(stream: IO[bytes], size: int, source: Path) -> None:
    """Compare what a header of .npy promises with the bytes there are; what is no array is left to numpy."""
    formats = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, _, dtype = formats[np.lib.format.read_magic(stream)](stream)
    except (*DAMAGED, SyntaxError):
        return
    promised = math.prod(shape) * dtype.itemsize
    if promised > size and not dtype.hasobject:
        raise DataError(f"{source}: its header promises {promised:,} bytes {shape}, the file holds {size:,}")
