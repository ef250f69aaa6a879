"""An .npz or .npy file -> an array of numbers, never a pickle."""

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

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
