"""CIFAR's batches, which are pickles -> arrays, without executing what a pickle may hold."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from trainctl.errors import DataError


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, by which Python 3 writes bytes into old pickles."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"asks for the encoding {encoding}")
    return text.encode("latin-1")


def _allowed() -> dict[tuple[str, str], Any]:
    reconstruct = np.empty(0).__reduce__()[0]  # numpy's own, whatever its module is called in this version
    return {
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode,
    }


class Restricted(pickle.Unpickler):
    """Reads plain values and arrays; anything else that a pickle names is refused, not imported."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few things that an array needs."""
        try:
            return _allowed()[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"asks for {module}.{name}, which an array does not need") from None


def read_batch(path: Path, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a batch.

    Args:
        path: The file.
        labels: Key of the labels: ``labels``, or ``fine_labels`` for CIFAR-100.

    Returns:
        Images ``(N, 3, 32, 32)`` as uint8 and labels ``(N,)`` as int64.

    Raises:
        DataError: If it is missing, damaged, or asks for anything but arrays.
    """
    try:
        batch = Restricted(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:
        raise DataError(f"{path}: not a batch of CIFAR, or damaged: {' '.join(str(error).split())}") from error
    plain = {
        key.decode(errors="replace") if isinstance(key, bytes) else key: value
        for key, value in dict(_mapping(batch, path)).items()
    }
    images, targets = plain.get("data"), plain.get(labels)
    fits = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 2 and images.shape[1] == 3072
    if (
        not fits
        or not isinstance(targets, list)
        or not all(isinstance(label, int) and abs(label) < 2**31 for label in targets)
    ):
        raise DataError(f"{path}: holds no images of 3 x 32 x 32 bytes with {labels}")
    assert isinstance(images, np.ndarray)
    if len(images) != len(targets):
        raise DataError(f"{path}: holds {len(images)} images and {len(targets)} {labels}")
    return images.reshape(-1, 3, 32, 32), np.array(targets, dtype=np.int64)


def _mapping(batch: object, path: Path) -> dict[Any, Any]:
    if not isinstance(batch, dict):
        raise DataError(f"{path}: not a batch of CIFAR")
    return batch
