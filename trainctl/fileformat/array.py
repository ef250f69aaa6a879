"""An .npz or .npy file -> an array of numbers, never a pickle."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainctl.errors import DataError


def read_array(source: Path, name: str = "inputs") -> np.ndarray:
    """Read an array of an .npz by its name, or the one that an .npz or .npy holds.

    Raises:
        DataError: If there is no such array, or it holds no numbers.
    """
    try:
        with source.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            values = loaded if isinstance(loaded, np.ndarray) else loaded[_only(loaded.files, name, source)]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"{source}: cannot be read: {error}") from error
    if not np.issubdtype(values.dtype, np.number) and values.dtype != bool:
        raise DataError(f"{source}: holds {values.dtype}, not numbers")
    if np.issubdtype(values.dtype, np.complexfloating):
        raise DataError(f"{source}: holds complex numbers")
    return values


def _only(names: Sequence[str], name: str, source: Path) -> str:
    if name not in names and len(names) != 1:
        raise DataError(f"{source}: holds {', '.join(names) or 'nothing'}; name the array to use `{name}`")
    return name if name in names else names[0]
