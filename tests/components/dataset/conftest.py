"""IDX files as the MNIST database publishes them, small."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(values: np.ndarray) -> bytes:
    """Write an array as the format has it: two zeros, type 8 (unsigned bytes), dimensions, sizes, data."""
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


@pytest.fixture
def idx_files(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Return a function that writes the four files of a data set: 7 rows for training, 3 for test, of 5 x 4 pixels."""

    def write(name: str, *, packed: bool = False, **changed: bytes | np.ndarray | None) -> SimpleNamespace:
        generator = np.random.default_rng(0)
        arrays = [
            generator.integers(0, 256, (7, 5, 4)), np.arange(7) + 3, generator.integers(0, 256, (3, 5, 4)), np.array([0, 9, 4])
        ]  # fmt: skip
        raw = tmp_path / "data" / name / "raw"
        raw.mkdir(parents=True)
        for stem, array in zip(STEMS, arrays, strict=True):
            content = changed.get("_".join(stem.split("-")[:2]), array)
            if content is not None:
                content = content if isinstance(content, bytes) else idx(content)
                (raw / (f"{stem}.gz" if packed else stem)).write_bytes(gzip.compress(content) if packed else content)
        return SimpleNamespace(root=str(tmp_path / "data"), raw=raw, arrays=arrays)

    return write
