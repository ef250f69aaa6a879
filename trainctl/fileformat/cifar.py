"""Read CIFAR's batches, which are pickles, as arrays, without executing code that a pickle may contain."""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import check_file
from trainctl.wording import amount

MOST_BYTES = 2**28  # of a file; CIFAR's files have 31 MB


def _encode(text: str, encoding: str) -> bytes:
    """Replace ``_codecs.encode``, by which Python 3 stores bytes in old pickle protocols."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it uses the encoding {encoding}")
    return text.encode("latin-1")


class Kind:
    """Replaces numpy's dtype, which would trust the sizes in a pickle."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else code

    def __setstate__(self, _: object) -> None:
        """Ignore byte order and alignment, which bytes do not have."""


class Array:
    """Replaces a numpy array: stores its pickled state, which is checked later."""

    def __init__(self, *_: object) -> None:
        self.state: Any = ()

    def __setstate__(self, state: object) -> None:
        """Store (version, shape, kind, whether the order is column-major, content)."""
        self.state = state

    def images(self) -> np.ndarray | None:
        """Return images of 3 x 32 x 32 bytes as ``(N, 3072)``, or None if the array has another type or shape."""
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
    """Unpickles plain values and arrays only; any other name in a pickle is an error and is not imported.

    This is the unpickler written in Python: the one in C trusts the sizes in a damaged file and allocates that memory.
    """

    dispatch: ClassVar = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement for one of the few names that an array needs."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which an array does not need") from None


def read_batch(path: Path, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch of CIFAR-10 or CIFAR-100.

    Args:
        path: The file.
        labels: The key of the labels: ``labels``, or ``fine_labels`` for CIFAR-100.

    Returns:
        Images ``(N, 3, 32, 32)`` as uint8 and labels ``(N,)`` as int64.

    Raises:
        DataError: If the file is missing or damaged, or contains anything except plain values and arrays.
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
        raise DataError(f"{path}: contains {amount(len(images), 'image')} but {len(targets)} {labels}")
    return images.reshape(-1, 3, 32, 32), np.array(targets, dtype=np.int64)
