"""CIFAR's batches, which are pickles -> arrays, without executing what a pickle may hold."""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import check_file

MOST_BYTES = 2**28  # of a file; CIFAR's have 31 MB


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, with which Python 3 writes bytes into old pickles."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it uses the encoding {encoding}")
    return text.encode("latin-1")


class Kind:
    """Stands in for numpy's dtype, which would trust the sizes that a pickle gives."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else code

    def __setstate__(self, _: object) -> None:
        """Ignore byte order and alignment, which bytes do not have."""


class Array:
    """Stands in for a numpy array: keeps what the pickle says about it, to be checked."""

    def __init__(self, *_: object) -> None:
        self.state: Any = ()

    def __setstate__(self, state: object) -> None:
        """Keep (version, shape, kind, whether columns come first, content)."""
        self.state = state

    def images(self) -> np.ndarray | None:
        """Return images of 3 x 32 x 32 bytes as ``(N, 3072)``, or None if the array is something else."""
        match self.state:
            case (_, (int(rows), 3072), Kind(code="u1" | "|u1"), int(turned), bytes(content)):
                if len(content) == rows * 3072:
                    return np.frombuffer(bytearray(content), np.uint8).reshape(rows, 3072, order="F" if turned else "C")
        return None


ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Kind,
    ("_codecs", "encode"): _encode,
}


class Restricted(pickle._Unpickler):
    """Reads plain values and arrays; whatever else a pickle names is refused, not imported.

    This is the unpickler in Python. The one in C allocates as much memory as a few wrong bytes demand.
    """

    dispatch: ClassVar = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for one of the few names that an array needs."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which an array does not need") from None


def read_batch(path: Path, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch.

    Args:
        path: The file.
        labels: The key of the labels: ``labels``, or ``fine_labels`` for CIFAR-100.

    Returns:
        Images ``(N, 3, 32, 32)`` as uint8 and labels ``(N,)`` as int64.

    Raises:
        DataError: If it is missing, damaged, or names anything but arrays.
    """
    check_file(path)
    with reading(path):
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: not a batch of CIFAR: it is larger than {MOST_BYTES:,} bytes")
        content = io.BytesIO(path.read_bytes())
    with reading(path, what="not a batch of CIFAR, or damaged"):
        batch = Restricted(content, encoding="bytes").load()
    if not isinstance(batch, dict):
        raise DataError(f"{path}: not a batch of CIFAR")
    plain = {key.decode(errors="replace") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    data, targets = plain.get("data"), plain.get(labels)
    images = data.images() if isinstance(data, Array) else None
    whole = isinstance(targets, list) and all(isinstance(label, int) and abs(label) < 2**31 for label in targets)
    if images is None or not isinstance(targets, list) or not whole:
        raise DataError(f"{path}: contains no images of 3 x 32 x 32 bytes with {labels}")
    if len(images) != len(targets):
        raise DataError(f"{path}: contains {len(images)} images but {len(targets)} {labels}")
    return images.reshape(-1, 3, 32, 32), np.array(targets, dtype=np.int64)
