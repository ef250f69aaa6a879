"""A file of rows of one size, read by number; each block is compared with its hash when it is first read. No torch.

Rows that can be read by number need no reader with a state: any position of a run is found at once.
"""

import hashlib
import math
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from trainctl.errors import DataError

BLOCK_BYTES = 1 << 20  # what is read, and hashed, together
MOST_BLOCK_ROWS = 1 << 14  # so that the numbers of the rows of many blocks need little memory, however small a row is
GAP_BYTES = 1 << 16  # between two rows that are read together
SPAN_BYTES = 1 << 23  # most that is read at once for rows with gaps between them
WINDOW_BLOCKS = 64  # blocks whose rows are shuffled together in training; the order of a run depends on it
RUNS_A_BLOCK = 4  # of rows of one class; with fewer, a window has few of them
HEADER_BYTES = 256  # of a .npy that we write
WRITTEN_BYTES = 1 << 24  # of rows in memory while they are written in another order
COPIED_BYTES = 1 << 22  # the same in their own order; computing with them takes several times as much
LARGEST_READ = 1 << 30  # of one call of the system, which reads at most 2 GiB


def rows_in_block(row_bytes: int) -> int:
    """Return how many rows a block has: about 1 MiB, at least one row, at most 16,384.

    >>> rows_in_block(160), rows_in_block(4), rows_in_block(1 << 22)
    (6553, 16384, 1)
    """
    return max(1, min(MOST_BLOCK_ROWS, BLOCK_BYTES // max(1, row_bytes)))


def root_of(hashes: Sequence[bytes]) -> str:
    """Return the hash of all blocks together [hex]."""
    return hashlib.sha256(b"".join(hashes)).hexdigest()


class RowsFile:
    """Rows of one shape and type in a file. It is opened when it is first read, and may be read by several threads.

    Args:
        path: The file.
        offset: Where the rows begin [bytes].
        shape: ``(N, *shape)``.
        dtype: Of the numbers, in the byte order of the file.
        hashes: The SHA-256 of each block; empty: what is read is not checked.
        cure: The end of the message if a block has changed or is damaged: what happened, and what to do.
    """

    def __init__(
        self,
        path: Path,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        hashes: Sequence[bytes] = (),
        cure: str = "it has changed while it was in use",
    ) -> None:
        self.path, self.offset, self.shape, self.dtype = path, offset, shape, np.dtype(dtype)
        self.row_bytes = math.prod(shape[1:]) * self.dtype.itemsize
        self.block_rows = rows_in_block(self.row_bytes)
        self.blocks = -(-shape[0] // self.block_rows)
        self.hashes, self.cure = tuple(hashes), cure
        assert not hashes or len(hashes) == self.blocks
        self._checked = bytearray(self.blocks)
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Size of all rows [bytes]."""
        return len(self) * self.row_bytes

    def block(self, index: int) -> tuple[int, int]:
        """Return the first row of a block, and the first one after it."""
        return index * self.block_rows, min(len(self), (index + 1) * self.block_rows)

    def read(self, first: int, last: int, into: np.ndarray | None = None) -> np.ndarray:
        """Return the rows from ``first`` up to, but not including, ``last``.

        Args:
            first: The first row.
            last: The first row after the last one.
            into: Where to read them, contiguous, of the file's type; None: new memory.

        Raises:
            DataError: If the file is shorter, cannot be read, or a block has changed or is damaged.
        """
        rows = self._read(first, last, into)
        if self.hashes and first < last:
            for index in range(first // self.block_rows, (last - 1) // self.block_rows + 1):
                if not self._checked[index]:
                    start, end = self.block(index)
                    whole = first <= start and end <= last
                    self._compare(index, rows[start - first : end - first] if whole else self._read(start, end))
        return rows

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """Return the rows with these numbers, which ascend; rows that are close to each other are read together.

        Raises:
            DataError: As :meth:`read`.
        """
        rows = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for start, end in self._runs(numbers):
            first, last = int(numbers[start]), int(numbers[end - 1]) + 1
            if last - first == end - start:
                self.read(first, last, rows[start:end])
            else:
                np.take(self.read(first, last), numbers[start:end] - first, 0, rows[start:end], "clip")
        return rows

    @property
    def root(self) -> str:
        """Hash of all rows [hex]."""
        return root_of(self.hashes)

    def hash_block(self, index: int) -> tuple[np.ndarray, bytes]:
        """Return the rows of a block, and their SHA-256."""
        rows = self._read(*self.block(index))
        return rows, hashlib.sha256(rows.data).digest()

    def _runs(self, numbers: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield the first and last index of rows that are read together."""
        if not len(numbers):
            return
        span = max(1, SPAN_BYTES // max(1, self.row_bytes))
        far = (np.diff(numbers) - 1) * self.row_bytes > GAP_BYTES
        cuts = np.flatnonzero(far | (np.diff(numbers // span) != 0)) + 1
        ends = [*cuts.tolist(), len(numbers)]
        yield from zip([0, *ends[:-1]], ends, strict=True)

    def _compare(self, index: int, rows: np.ndarray) -> None:
        if hashlib.sha256(np.ascontiguousarray(rows).data).digest() != self.hashes[index]:
            raise self._changed(index)
        self._checked[index] = 1

    def _changed(self, index: int) -> DataError:
        first, last = self.block(index)
        return DataError(
            f"{self.path}: block {index:,} (rows {first:,} to {last - 1:,}) has changed or is damaged: {self.cure}"
        )

    def _read(self, first: int, last: int, into: np.ndarray | None = None) -> np.ndarray:
        rows = np.empty((last - first, *self.shape[1:]), self.dtype) if into is None else into
        if not rows.nbytes:
            return rows
        view = memoryview(rows.reshape(-1).view(np.uint8).data)
        done, start = 0, self.offset + first * self.row_bytes
        try:
            descriptor = self._open()
            while done < len(view):
                count = _read_into(descriptor, view[done : done + LARGEST_READ], start + done, self._lock)
                if not count:
                    raise self._changed((first + done // self.row_bytes) // self.block_rows)
                done += count
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        return rows

    def _open(self) -> int:
        with self._lock:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
                weakref.finalize(self, os.close, self._descriptor)
            return self._descriptor


def _read_into(descriptor: int, view: memoryview, position: int, lock: threading.Lock) -> int:
    """Read bytes at a position of a file; return how many, 0 at its end. Several threads may read at once."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], position)
    with lock:  # Windows
        os.lseek(descriptor, position, os.SEEK_SET)
        content = os.read(descriptor, len(view))
    view[: len(content)] = content
    return len(content)


class RowsWriter:
    """Writes a .npy of rows that come in portions, and hashes its blocks.

    Args:
        path: The file, which must not exist.
        row: Shape of a row.
        dtype: Of the numbers.
        hashes: Whether to hash the blocks.
    """

    def __init__(self, path: Path, row: tuple[int, ...], dtype: np.dtype, *, hashes: bool = True) -> None:
        self.path, self.row, self.dtype = path, row, np.dtype(dtype)
        self.block_rows = rows_in_block(math.prod(row) * self.dtype.itemsize)
        self.hashes: list[bytes] = []
        self.rows = 0
        self._hash, self._held, self._hashes = hashlib.sha256(), 0, hashes
        self._file = path.open("xb")
        self._file.write(header(0, row, self.dtype))

    def add(self, rows: np.ndarray) -> None:
        """Append rows ``(N, *row)``."""
        rows = np.ascontiguousarray(rows, self.dtype)
        assert rows.shape[1:] == self.row
        self._file.write(rows.data if rows.size else b"")
        self.rows += len(rows)
        while self._hashes and len(rows):
            part, rows = rows[: self.block_rows - self._held], rows[self.block_rows - self._held :]
            self._hash.update(part.data)
            self._held += len(part)
            if self._held == self.block_rows:
                self._end_block()

    def close(self) -> RowsFile:
        """Complete the file, and wait until the disk has it.

        Returns:
            The rows, to be read.
        """
        if self._held:
            self._end_block()
        self._file.seek(0)
        self._file.write(header(self.rows, self.row, self.dtype))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return RowsFile(self.path, HEADER_BYTES, (self.rows, *self.row), self.dtype, self.hashes)

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _end_block(self) -> None:
        self.hashes.append(self._hash.digest())
        self._hash, self._held = hashlib.sha256(), 0


def header(rows: int, row: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Return the header of a .npy, always of the same length, so that the number of rows can be filled in later.

    Source: NumPy, numpy.lib.format, the .npy format, version 1.0.
    """
    text = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, *row)})
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    return start + text.encode().ljust(HEADER_BYTES - 11) + b"\n"


def reordered(source: RowsFile, order: np.ndarray | None, size: int = 0) -> Iterator[np.ndarray]:
    """Yield the rows of a file in another order, some megabytes at a time.

    Args:
        source: The rows.
        order: The number in the source of each row that is yielded ``(N,)``; None: as they are.
        size: How many at once; 0: so many that they take 16 MiB, or 4 MiB in their own order.
    """
    size = size or max(1, (COPIED_BYTES if order is None else WRITTEN_BYTES) // max(1, source.row_bytes))
    for first in range(0, len(source), size):
        if order is None:
            yield source.read(first, min(len(source), first + size))
            continue
        numbers = order[first : first + size]
        places = np.argsort(numbers)
        rows = np.empty((len(numbers), *source.shape[1:]), source.dtype)
        rows[places] = source.take(numbers[places])
        yield rows


def is_sorted_by_class(classes: np.ndarray, blocks: int) -> bool:
    """Return whether neighbours in a file are so often of the same class that windows of its blocks would not mix them.

    >>> is_sorted_by_class(np.repeat([0, 1], 5000), 100), is_sorted_by_class(np.arange(10000) % 2, 100)
    (True, False)
    >>> is_sorted_by_class(np.repeat([0, 1], 5000), 10)  # all are in one window, which is shuffled
    False
    """
    if blocks <= WINDOW_BLOCKS:
        return False
    changes = int((classes[1:] != classes[:-1]).sum())
    shares = np.bincount(classes - classes.min()) / len(classes)
    expected = len(classes) * (1 - float((shares**2).sum()))
    return changes < RUNS_A_BLOCK * blocks and 2 * changes < expected
