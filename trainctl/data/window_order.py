"""The order in which training visits rows on disk: windows of neighbouring rows, each read whole and then shuffled.

The blocks of the file, of about 1 MiB, are shuffled; 64 of them make a window, whose rows are shuffled again. Everything is
a function of the seed, the epoch and the number of the window: each row comes once in an epoch, any position is found at
once, and nothing has to be saved.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trainctl.components.augment.base import Visit
from trainctl.data.ahead import read_ahead
from trainctl.data.order import GATHERED_BYTES, StepwiseOrder
from trainctl.data.stored_rows import StoredRows
from trainctl.fileformat import rows_file
from trainctl.machine.device import derive

BLOCKS, WITHIN = 6, 7  # so that the seeds of blocks and of windows differ from each other and from others


@dataclass(frozen=True)
class Windows:
    """How an epoch divides the blocks of a file into windows.

    Args:
        blocks: The blocks in the order in which they are read ``(B,)``.
        starts: The position in the epoch at which each window starts ``(W + 1,)``; the last entry is the number of rows.
    """

    blocks: Tensor
    starts: Tensor

    def __len__(self) -> int:
        return len(self.starts) - 1

    def at(self, position: int) -> int:
        """Return the window of a position; those without rows are skipped."""
        return int(torch.searchsorted(self.starts, position, right=True)) - 1


@lru_cache(maxsize=4)
def windows_of(rows: StoredRows, seed: int, epoch: int) -> Windows:
    """Return the windows of an epoch: a function of the rows, the seed and the epoch."""
    counts = rows.bounds.diff()
    blocks = torch.randperm(len(counts), generator=torch.Generator().manual_seed(derive(BLOCKS, seed, epoch)))
    totals = torch.cat([counts.new_zeros(1), counts[blocks].cumsum(0)])
    ends = (
        torch.arange(0, len(counts) + rows_file.WINDOW_BLOCKS, rows_file.WINDOW_BLOCKS).clamp(max=len(counts)).unique()
    )
    return Windows(blocks, totals[ends])


@lru_cache(maxsize=4)  # those of a window are asked for by every step
def window_rows(rows: StoredRows, seed: int, epoch: int, window: int) -> Tensor:
    """Return the numbers of the rows of a window ``(N,)``, in the order in which they are visited."""
    found = _in_file_order(rows, windows_of(rows, seed, epoch), window)
    return found[_shuffled(len(found), seed, epoch, window)]


def _in_file_order(rows: StoredRows, windows: Windows, window: int) -> Tensor:
    bounds = rows.bounds.tolist()
    return torch.cat([torch.arange(bounds[block], bounds[block + 1]) for block in _blocks(windows, window)])


def _blocks(windows: Windows, window: int) -> list[int]:
    """Return the blocks of a window, ascending."""
    first = window * rows_file.WINDOW_BLOCKS
    blocks: list[int] = windows.blocks[first : first + rows_file.WINDOW_BLOCKS].sort().values.tolist()
    return blocks


def _shuffled(count: int, seed: int, epoch: int, window: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(derive(WITHIN, seed, epoch, window)))


@dataclass(frozen=True)
class Window:
    """The rows of a window, in memory in the order of the file; they are gathered in the order in which they are visited.

    Args:
        values: Inputs, targets and, if they are stored, a teacher's words, each with the places in it of the rows in their
            order ``(N,)``.
        ends: Whether it is the last window of an epoch.
    """

    values: tuple[tuple[Tensor, Tensor], ...]
    ends: bool

    def __len__(self) -> int:
        return len(self.values[0][1])

    def gather(self, first: int, last: int) -> tuple[Tensor, ...]:
        """Return copies of the rows from ``first`` up to, but not including, ``last``."""
        return tuple(each.index_select(0, places[first:last]) for each, places in self.values)


@dataclass(frozen=True)
class WindowOrder(StepwiseOrder):
    """The rows on disk that each step visits: the windows are shuffled in each epoch, and the rows inside each window."""

    rows: StoredRows

    def batches(self, step: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of this step and all later ones, without end; inputs are as stored, not scaled.

        A thread reads one window ahead.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        first, size = position * self.batch_size, self.batch_size
        windows = windows_of(self.rows, self.seed, epoch)
        start = first - int(windows.starts[at := windows.at(first)])
        together = max(1, GATHERED_BYTES // (size * self.rows.source.row_bytes)) * size
        rest: tuple[Tensor, ...] | None = None
        for window in read_ahead(self._keys(epoch, at), self._load):
            if rest is not None:  # completed by the first rows of this window
                start = min(len(window), size - len(rest[0]))
                rest = tuple(torch.cat(pair) for pair in zip(rest, window.gather(0, start), strict=True))
                if len(rest[0]) == size:
                    yield rest
                    rest = None
            while len(window) - start >= size:
                end = start + min(together, (len(window) - start) // size * size)
                yield from zip(*(part.split(size) for part in window.gather(start, end)), strict=True)
                start = end
            if start < len(window):
                rest = window.gather(start, len(window))
            if window.ends and rest is not None:
                yield rest
                rest = None
            start = 0
            del window  # before the next one is awaited

    def _keys(self, epoch: int, window: int) -> Iterator[tuple[int, int]]:
        """Yield epoch and window from a window on, without end."""
        while True:
            yield from ((epoch, each) for each in range(window, len(windows_of(self.rows, self.seed, epoch))))
            epoch, window = epoch + 1, 0

    def _load(self, key: tuple[int, int]) -> "Window":
        """Read a window."""
        epoch, window = key
        windows = windows_of(self.rows, self.seed, epoch)
        inputs, numbers, places = self.rows.of_blocks(_blocks(windows, window))
        order = _shuffled(len(numbers), self.seed, epoch, window)
        values = [(inputs.to(self.device), places[order].to(self.device))]
        others = [self.rows.targets] if self.taught is None else [self.rows.targets, self.taught]
        values += [(each, numbers[order].to(each.device)) for each in others]
        return Window(tuple(values), window + 1 == len(windows))

    def visit(self, step: int, first: int, count: int, *, unlabeled: bool = False) -> Visit:
        """Return the epoch of a step, and the numbers ``(count,)`` of rows in its batch, see :class:`~trainctl.data.order.Order`."""
        assert not unlabeled
        epoch, position = divmod(step, self.steps_per_epoch)
        positions = (torch.arange(count) + (position * self.batch_size + first)) % len(self.rows)
        return Visit(epoch, self._numbers(epoch, positions).to(self.device))

    def row_numbers(self, step: int) -> list[int]:
        """Return the numbers of the rows in the batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self.batch_size
        numbers: list[int] = self._numbers(
            epoch, torch.arange(first, min(len(self.rows), first + self.batch_size))
        ).tolist()
        return numbers

    def _numbers(self, epoch: int, positions: Tensor) -> Tensor:
        windows = windows_of(self.rows, self.seed, epoch)
        which = torch.searchsorted(windows.starts, positions, right=True) - 1
        numbers = torch.empty_like(positions)
        for window in which.unique().tolist():
            here = which == window
            rows = window_rows(self.rows, self.seed, epoch, window)
            numbers[here] = rows[positions[here] - windows.starts[window]]
        return numbers
