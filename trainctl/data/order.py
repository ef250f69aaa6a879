"""The order in which training visits rows in memory: a function of the seed and the epoch.

Rows on disk have :mod:`trainctl.data.window_order`, rows of which some have no label :mod:`trainctl.data.paired_order`;
:mod:`trainctl.data.choose_order` chooses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trainctl.components.augment.base import Visit
from trainctl.data.rows import Rows
from trainctl.machine.device import derive

ORDER = 1  # so that the seeds of epochs differ from those of steps
FIXED = 3  # so that the seed of the fixed order differs from those of epochs
GATHERED_BYTES = 1 << 20  # size of the batches gathered in one call: few calls, and the result still fits in the cache


# Inputs as stored, targets and, if a teacher's words are stored, these; see Order.taught.
StepRows = tuple[Tensor, ...]


@dataclass(frozen=True)
class StepwiseOrder:
    """What orders of one split have in common, wherever its rows are: :class:`Order` in memory, ``WindowOrder`` on disk.

    The rows that a step visits are a function of the step alone, so a checkpoint need not save them.

    Args:
        rows: The training split.
        batch_size: Rows in a step; if these are all rows, :class:`Order` does not shuffle them.
        seed: The run's seed.
        device: The device of the indices.
        taught: What a teacher says about each row ``(N, ...)``; None if that is not stored.
    """

    rows: Rows
    batch_size: int
    seed: int
    device: torch.device
    taught: Tensor | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch; the last batch may be smaller."""
        return -(-len(self.rows) // self.batch_size)


@dataclass(frozen=True)
class Order(StepwiseOrder):
    """The rows in memory that each step visits: all of them are shuffled in each epoch."""

    def batches(self, step: int) -> Iterator[StepRows]:
        """Yield the batches of this step and all later ones, without end; inputs are as stored, not scaled."""
        epoch, position = divmod(step, self.steps_per_epoch)
        together = max(1, GATHERED_BYTES * len(self.rows) // (self.batch_size * self.rows.nbytes)) * self.batch_size
        while True:
            if self.steps_per_epoch == 1:
                words = () if self.taught is None else (self.taught,)
                yield from ((*batch, *words) for batch in self.rows.portions(len(self.rows)))
                continue
            order = order_on(self.device, len(self.rows), self.seed, epoch)
            for indices in order[position * self.batch_size :].split(together):
                words = () if self.taught is None else (self.taught.index_select(0, indices),)
                parts = (*self.rows.gather(indices), *words)
                yield from zip(*(part.split(self.batch_size) for part in parts), strict=True)
            epoch, position = epoch + 1, 0

    def visit(self, step: int, first: int, count: int, *, unlabeled: bool = False) -> Visit:
        """Return the epoch of a step, and the numbers ``(count,)`` of rows in its batch.

        A batch of another size, for example while batch sizes are tried, gets the numbers of as many rows in the epoch's
        order; past the last row they start again from the first.

        Args:
            step: The step.
            first: Position in the batch of the first row.
            count: Number of rows.
            unlabeled: Whether these are rows without a label; this order has none.
        """
        assert not unlabeled
        epoch, position = divmod(step, self.steps_per_epoch)
        positions = torch.arange(count, device=self.device) + (position * self.batch_size + first)
        positions %= len(self.rows)
        if self.steps_per_epoch == 1:
            return Visit(epoch, positions)
        return Visit(epoch, order_on(self.device, len(self.rows), self.seed, epoch)[positions])

    def row_numbers(self, step: int) -> list[int]:
        """Return the numbers of the rows in the batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self.steps_per_epoch == 1:
            return list(range(len(self.rows)))
        order = epoch_order(len(self.rows), self.seed, epoch)
        numbers: list[int] = order.split(self.batch_size)[position].tolist()
        return numbers


def epoch_order(rows: int, seed: int, epoch: int) -> Tensor:
    """Return the row numbers ``(rows,)`` in the order in which an epoch visits them: a function of (seed, epoch) alone."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(derive(ORDER, seed, epoch)))


def fixed_order(rows: int, seed: int) -> Tensor:
    """Return a random order of the rows that depends only on the seed: neighbours in the source are not neighbours in it."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(derive(FIXED, seed, 0)))


@lru_cache(maxsize=2)  # all batches of an epoch share it; rows with and without a label have their own
def order_on(device: torch.device, rows: int, seed: int, epoch: int) -> Tensor:
    """Return :func:`epoch_order` on a device; callers must not modify it. The copy to a GPU is asynchronous."""
    order = epoch_order(rows, seed, epoch)
    return order.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else order.to(device)
