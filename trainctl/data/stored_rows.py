"""Rows that stay on disk, and are read by number when they are needed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainctl.components.clean.base import Cleaner
from trainctl.data.ahead import read_ahead
from trainctl.errors import DataError
from trainctl.fileformat.stored import PORTION_BYTES, Stored


@dataclass(frozen=True, eq=False)
class StoredRows:
    """The rows of a split that stay on disk; their targets are in memory.

    Args:
        source: The inputs of all rows of the data set.
        numbers: Which rows of the data set these are ``(N,)``, ascending.
        targets: Classes ``(N,)``, or scaled values ``(N, K)``, on the device.
        cleaner: Applied to what is read.
        device: The device of the rows that are returned.
    """

    source: Stored
    numbers: Tensor
    targets: Tensor
    cleaner: Cleaner
    device: torch.device

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def resident(self) -> bool:
        """Whether the rows are in memory."""
        return False

    @property
    def nbytes(self) -> int:
        """Size of all inputs and targets [bytes]."""
        return len(self) * self.source.row_bytes + self.targets.nbytes

    @cached_property
    def bounds(self) -> Tensor:
        """The first row of this split in each block of the file ``(blocks + 1,)``; the last entry is their number."""
        file = self.source.file
        edges = np.minimum(np.arange(file.blocks + 1) * file.block_rows, len(file))
        return torch.from_numpy(np.searchsorted(self.source.in_file(self.numbers.numpy()), edges))

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows with these numbers, in the order of the numbers."""
        wanted, places = indices.cpu().unique(return_inverse=True)
        inputs = self.inputs(wanted)[places]
        return inputs.to(self.device), self.targets.index_select(0, indices.to(self.targets.device))

    def portions(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all rows in their order, ``size`` at a time; the next ones are read meanwhile."""
        together = max(1, PORTION_BYTES // (size * self.source.row_bytes)) * size

        def load(first: int) -> tuple[Tensor, Tensor]:
            last = min(len(self), first + together)
            return self.inputs(torch.arange(first, last)).to(self.device), self.targets[first:last]

        for inputs, targets in read_ahead(range(0, len(self), together), load):
            yield from zip(inputs.split(size), targets.split(size), strict=True)

    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """Return at most ``count`` rows, evenly spaced."""
        every = max(1, -(-len(self) // count))
        return self.inputs(torch.arange(0, len(self), every)).to(self.device), self.targets[::every]

    def inputs(self, indices: Tensor) -> Tensor:
        """Return the inputs of rows with these numbers, which ascend, cleaned, in memory.

        Raises:
            DataError: If the file has changed, or a value is missing that cleaning does not fill in.
        """
        values = self.cleaner(torch.from_numpy(self.source.read(self.numbers[indices].numpy())))
        if not self._surely_known(values):
            self._require_known(values)
        return values

    def of_blocks(self, blocks: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return all inputs of some blocks of the file, cleaned, and which of them are rows of this split.

        Args:
            blocks: The blocks, ascending.

        Returns:
            The inputs ``(M, *shape)``, the numbers of the rows of this split ``(N,)``, and the places of these in the
            inputs ``(N,)``.

        Raises:
            DataError: As :meth:`inputs`.
        """
        file, edges = self.source.file, self.bounds.tolist()
        parts, places, begin = [], [], 0
        for block in blocks:
            first, last = file.block(block)
            rows = torch.arange(edges[block], edges[block + 1])
            parts.append(rows)
            places.append(torch.from_numpy(self.source.in_file(self.numbers[rows].numpy()) - (first - begin)))
            begin += last - first
        values, where = self.cleaner(torch.from_numpy(self.source.read_blocks(blocks))), torch.cat(places)
        if not self._surely_known(values):
            self._require_known(values[where])  # rows of other splits may lack values that are dropped there
        return values, torch.cat(parts), where

    def _surely_known(self, values: Tensor) -> bool:
        """Return whether all values are known at a glance: each that is missing or infinite makes their sum so."""
        if not values.is_floating_point() or (self.source.finite and self.source.as_it_is):
            return True
        return math.isfinite(float(values.sum()))

    def _require_known(self, values: Tensor) -> None:
        known = ~values.isinf() if self.cleaner.leaves_gaps else values.isfinite()
        if not known.all():
            raise DataError(
                f"{self.source.file.path}: values are missing, but the run was trained without imputation; fill them in"
            )


def joined(parts: list[StoredRows]) -> StoredRows:
    """Return the rows of several splits of a data set as one, in the order of the file."""
    numbers, order = torch.cat([rows.numbers for rows in parts]).sort()
    targets = torch.cat([rows.targets for rows in parts])[order.to(parts[0].targets.device)]
    return StoredRows(parts[0].source, numbers, targets, parts[0].cleaner, parts[0].device)
