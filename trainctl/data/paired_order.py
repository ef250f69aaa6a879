"""The order in which training visits rows with and without a label together: a function of the seed and the step."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainctl.components.augment.base import Visit
from trainctl.data.order import StepRows, order_on
from trainctl.data.rows import Rows
from trainctl.machine.device import derive

UNLABELED = 4  # so that rows with and without a label have different orders


@dataclass(frozen=True)
class PairedOrder:
    """The rows that each step visits, where some have no label: always as many with a label, and as many without one.

    Both kinds are visited in an order of their own, pass after pass; each pass shuffles them anew. The last batch of a
    pass is completed by the rows with which the pass began, so that all batches have the same size. An epoch lasts until
    every row has been visited.

    Args:
        rows: The training rows with a label.
        unlabeled: The training rows without one; their targets are never read.
        batch_size: Rows with a label in a step; if these are all, they are not shuffled.
        unlabeled_size: Rows without a label in a step.
        seed: The run's seed.
        device: The device of the indices.
        taught: What a teacher says about each row ``(N, ...)``, those with a label first; None if that is not stored.
    """

    rows: Rows
    unlabeled: Rows
    batch_size: int
    unlabeled_size: int
    seed: int
    device: torch.device
    taught: Tensor | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps until every row has been visited."""
        return max(-(-len(self.rows) // self.batch_size), -(-len(self.unlabeled) // self.unlabeled_size))

    def batches(self, step: int) -> Iterator[StepRows]:
        """Yield the batches of this step and all later ones, without end: those with a label first, in one tensor.

        Yields:
            Inputs as stored ``(L + U, ...)``, targets ``(L, ...)``, and what a teacher says ``(L + U, ...)``, if stored.
        """
        while True:
            known, unknown = self._numbers(step, unlabeled=False), self._numbers(step, unlabeled=True)
            inputs, targets = self.rows.gather(known)
            together = torch.cat([inputs, self.unlabeled.gather(unknown)[0]])
            if self.taught is None:
                yield together, targets
            else:
                yield together, targets, self.taught.index_select(0, torch.cat([known, unknown + len(self.rows)]))
            step += 1

    def visit(self, step: int, first: int, count: int, *, unlabeled: bool = False) -> Visit:
        """Return the pass of a step, and the numbers ``(count,)`` of rows in its batch; those with a label come first.

        Args:
            step: The step.
            first: Position of the first row, among the rows with or without a label of the batch.
            count: Number of rows; past the last row of the pass they start again from the first.
            unlabeled: Whether these are rows without a label.
        """
        numbers = self._numbers(step, unlabeled=unlabeled, first=first, count=count)
        return Visit(self._position(step, unlabeled)[0], numbers + len(self.rows) if unlabeled else numbers)

    def row_numbers(self, step: int) -> list[int]:
        """Return the numbers of the rows in the batch of a step; rows without a label follow those with one."""
        known = self._numbers(step, unlabeled=False)
        numbers: list[int] = torch.cat([known, self._numbers(step, unlabeled=True) + len(self.rows)]).tolist()
        return numbers

    def _position(self, step: int, unlabeled: bool) -> tuple[int, int]:
        """Return the pass of a step through the rows of one kind, and its number in the pass."""
        rows, size = (self.unlabeled, self.unlabeled_size) if unlabeled else (self.rows, self.batch_size)
        return divmod(step, -(-len(rows) // size))

    def _numbers(self, step: int, *, unlabeled: bool, first: int = 0, count: int | None = None) -> Tensor:
        """Return the numbers of rows of one kind in the batch of a step."""
        rows, size = (self.unlabeled, self.unlabeled_size) if unlabeled else (self.rows, self.batch_size)
        epoch, position = self._position(step, unlabeled)
        positions = torch.arange(size if count is None else count, device=self.device) + (position * size + first)
        positions %= len(rows)
        if len(rows) <= size:
            return positions
        seed = derive(UNLABELED, self.seed) if unlabeled else self.seed
        return order_on(self.device, len(rows), seed, epoch).index_select(0, positions)
