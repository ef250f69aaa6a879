"""The inputs of a data set that stay on disk: a file of rows, which of them are used, and how they are read. No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trainctl.fileformat.rows_file import RowsFile, root_of

Layout = Literal["rows", "channels_last", "grey"]
PORTION_BYTES = 1 << 23  # read at once where all rows are looked at


@dataclass(frozen=True, eq=False)
class Stored:
    """Rows on disk that become inputs when they are read: bytes stay bytes, other numbers become float32.

    Args:
        file: The file of the rows.
        layout: ``channels_last``: images ``(H, W, C)``, which become ``(C, H, W)``; ``grey``: images ``(H, W)``, which
            become ``(1, H, W)``; ``rows``: they stay as they are.
        numbers: The numbers in the file of the rows that are used ``(N,)``, ascending; None: all.
        centre: What is subtracted from each column before it becomes float32; empty: nothing.
        root: Hash of all rows of the file [hex].
        finite: Whether it is known that no value is missing or infinite.
    """

    file: RowsFile
    layout: Layout = "rows"
    numbers: np.ndarray | None = None
    centre: tuple[float, ...] = ()
    root: str = ""
    finite: bool = False

    def __len__(self) -> int:
        return len(self.file) if self.numbers is None else len(self.numbers)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row, as a model gets it."""
        row = self.file.shape[1:]
        if self.layout == "grey":
            return (1, *row)
        return (row[2], *row[:2]) if self.layout == "channels_last" else row

    @property
    def images(self) -> bool:
        """Whether rows are images, which stay bytes."""
        return len(self.shape) == 3

    @property
    def wide(self) -> bool:
        """Whether float32 does not have all numbers of the file, by their type."""
        return not (self.images or self.file.dtype.kind == "b" or np.can_cast(self.file.dtype, np.float32))

    @property
    def dtype(self) -> np.dtype:
        """Type of the inputs, once they are read."""
        return np.dtype(np.uint8 if self.images else np.float32)

    @property
    def row_bytes(self) -> int:
        """Size of a row of inputs [bytes]."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def fingerprint(self) -> str:
        """Return what identifies the inputs: the hash of the file, and that of the rows that are used."""
        if self.numbers is None:
            return self.root
        return root_of([bytes.fromhex(self.root), np.ascontiguousarray(self.numbers, np.int64).tobytes()])

    def in_file(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers in the file of rows of the data set."""
        return rows if self.numbers is None else self.numbers[rows]

    def take(self, rows: np.ndarray) -> "Stored":
        """Return some of the rows, given in ascending order."""
        return replace(self, numbers=self.in_file(rows))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the inputs of rows of the data set, in ascending order: bytes, or float32.

        Raises:
            DataError: If the file has changed, or cannot be read.
        """
        return self.converted(self.file.take(self.in_file(rows)))

    @property
    def as_it_is(self) -> bool:
        """Whether rows of the file are inputs without any conversion."""
        plain = self.layout == "rows" and not (self.centre and not self.images)
        return plain and self.file.dtype == self.dtype and self.file.dtype.isnative

    def read_blocks(self, blocks: Sequence[int]) -> np.ndarray:
        """Return the inputs of all rows of some blocks of the file, in their order.

        Raises:
            DataError: As :meth:`read`.
        """
        bounds = [self.file.block(block) for block in blocks]
        inputs = np.empty((sum(last - first for first, last in bounds), *self.shape), self.dtype)
        done = 0
        for first, last in bounds:
            part = inputs[done : done + last - first]
            if self.as_it_is:
                self.file.read(first, last, part)
            else:
                part[:] = self.converted(self.file.read(first, last))
            done += last - first
        return inputs

    def exact(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of rows of the data set as the file has them, in ascending order, in float64 if necessary."""
        values = self.file.take(self.in_file(rows))
        return values if self.images else values.astype(np.float64 if self.wide else np.float32)

    def portions(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield all inputs in their order, some megabytes at a time, each portion with the number of its first row."""
        size = max(1, PORTION_BYTES // max(1, self.row_bytes))
        for first in range(0, len(self), size):
            yield first, self.read(np.arange(first, min(len(self), first + size)))

    def converted(self, values: np.ndarray) -> np.ndarray:
        """Return inputs from rows of the file: around the centre, in the layout of a model."""
        if self.layout == "grey":
            return np.ascontiguousarray(values[:, None], self.dtype)
        if self.layout == "channels_last":
            return np.ascontiguousarray(values.transpose(0, 3, 1, 2), self.dtype)
        with np.errstate(over="ignore"):  # infinite, which cleaning refuses by row and column
            if self.centre and not self.images:
                values = values.astype(np.float64) - np.asarray(self.centre)
            return np.ascontiguousarray(values, self.dtype)
