"""The order in which the training rows are visited: a function of the seed and the epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trainctl.components.augment.base import Visit
from trainctl.data.rows import Batch, Rows
from trainctl.machine.device import derive

ORDER = 1  # keeps the seeds of epochs apart from those of steps
GATHERED_BYTES = 1 << 20  # of the batches that are gathered at once: few calls, and still in the cache


@dataclass(frozen=True)
class Order:
    """Which rows each step visits: a function of the step alone, so there is nothing to save.

    Args:
        rows: The training split.
        batch_size: Rows in a step; all of them for a full batch, which has no order.
        seed: Of the run.
        device: Of the indices.
    """

    rows: Rows
    batch_size: int
    seed: int
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        """Steps in a pass over the rows; the last one may be smaller."""
        return -(-len(self.rows) // self.batch_size)

    def batches(self, step: int) -> Iterator[Batch]:
        """Yield the batches of a step and of all that follow it, without end, as they are stored."""
        epoch, position = divmod(step, self.steps_per_epoch)
        together = max(1, GATHERED_BYTES * len(self.rows) // (self.batch_size * self.rows.nbytes)) * self.batch_size
        while True:
            if self.steps_per_epoch == 1:
                yield from self.rows.portions(len(self.rows))
                continue
            order = order_on(self.device, len(self.rows), self.seed, epoch)
            for indices in order[position * self.batch_size :].split(together):
                inputs, targets = self.rows.gather(indices)
                yield from zip(inputs.split(self.batch_size), targets.split(self.batch_size), strict=True)
            epoch, position = epoch + 1, 0

    def visit(self, step: int, first: int, count: int) -> Visit:
        """Return the epoch of a step, and the numbers ``(count,)`` of rows of its batch, from the first one on.

        A batch that is not of the epoch, for example one whose size is being tried, gets the numbers of as many rows in
        the epoch's order.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        places = torch.arange(count, device=self.device) + (position * self.batch_size + first)
        places %= len(self.rows)
        if self.steps_per_epoch == 1:
            return Visit(epoch, places)
        return Visit(epoch, order_on(self.device, len(self.rows), self.seed, epoch)[places])

    def row_numbers(self, step: int) -> list[int]:
        """Return the numbers of the rows in the batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self.steps_per_epoch == 1:
            return list(range(len(self.rows)))
        order = epoch_order(len(self.rows), self.seed, epoch)
        numbers: list[int] = order.split(self.batch_size)[position].tolist()
        return numbers


def epoch_order(rows: int, seed: int, epoch: int) -> Tensor:
    """Return the order in which an epoch visits the rows: a function of (seed, epoch) alone."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(derive(ORDER, seed, epoch)))


@lru_cache(maxsize=1)  # an epoch's batches share it
def order_on(device: torch.device, rows: int, seed: int, epoch: int) -> Tensor:
    """Return :func:`epoch_order` on a device; nobody may change it. A GPU fetches it while the host goes on."""
    order = epoch_order(rows, seed, epoch)
    return order.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else order.to(device)
