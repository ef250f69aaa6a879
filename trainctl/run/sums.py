"""Running sums on the device; only :meth:`Sums.values` waits for the device."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainctl.components.scale.base import Affine
from trainctl.machine.world import ALONE, World

MOST_WAITING = 1 << 15  # elements of outputs that are collected before they are summed


class Sums:
    """Sums over the rows since the last reset, from which a task's metrics are computed.

    Errors of a regression are summed in the targets' original units, those of a reconstruction in scaled units. For
    classification on a CPU, batches are collected and summed together, which takes fewer calls; when they are summed does
    not change the result, not even in the last bit.

    Args:
        task: ``classification``, ``regression`` or ``reconstruction``.
        columns: Columns of the targets; 1 for classes.
        units: The scaling of the targets; None if they are not scaled.
        device: The device of outputs and targets.
        world: The processes whose sums the metrics are computed from.
    """

    def __init__(
        self, task: str, columns: int, units: Affine | None, device: torch.device, world: World = ALONE
    ) -> None:
        self.task, self.columns, self.units, self.world = task, columns, units, world
        precision = torch.float32 if device.type == "mps" else torch.float64
        # loss, rows; for classes: correct predictions; for numbers: |error|, error^2, and per column y, y^2
        size = 3 if task == "classification" else 4 + 2 * columns
        self._sums = torch.zeros(size, dtype=precision, device=device)
        self.waits = task == "classification" and device.type == "cpu"
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._elements = 0  # of the collected outputs

    @property
    def sums(self) -> Tensor:
        """The sums over all batches that were added."""
        self._settle()
        return self._sums

    @torch.no_grad()
    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss, the model's outputs and the scaled targets; callers must not modify these tensors later."""
        if self.waits:
            self._waiting.append((loss.detach(), outputs.detach(), targets))
            self._elements += outputs.numel()
            if self._elements >= MOST_WAITING:
                self._settle()
            return
        rows = len(targets)
        self.sums[0].add_(loss.detach(), alpha=rows)
        self.sums[1].add_(rows)
        if self.task == "classification":
            self.sums[2].add_((outputs.argmax(1) == targets).sum())
            return
        outputs, targets = outputs.detach().float().flatten(1), targets.flatten(1)
        if self.units is not None:
            outputs, targets = self.units.inverse(outputs), self.units.inverse(targets)
        exact = targets.to(self.sums.dtype)
        error = outputs.to(self.sums.dtype) - exact
        columns = self.columns
        self.sums[2].add_(error.abs().sum())
        self.sums[3].add_(error.square().sum())
        self.sums[4 : 4 + columns].add_(exact.sum(0))
        self.sums[4 + columns :].add_(exact.square().sum(0))

    @torch.no_grad()
    def _settle(self) -> None:
        if not self._waiting:
            return
        losses, outputs, targets = zip(*self._waiting, strict=True)
        self._waiting, self._elements = [], 0
        loss, rows, correct = self._sums.tolist()
        for mean, batch in zip(torch.stack(losses).tolist(), targets, strict=True):  # in order, for the same rounding
            loss += len(batch) * mean
            rows += len(batch)
        correct += (torch.cat(outputs).argmax(1) == torch.cat(targets)).sum().item()
        self._sums.copy_(torch.tensor([loss, rows, correct], dtype=self._sums.dtype))

    def reset(self) -> None:
        """Set all sums to zero."""
        self.sums.zero_()

    def values(self) -> dict[str, float]:
        """Return the metrics of all processes by name; waits for the device. R2 is NaN where the targets are constant."""
        sums: Sequence[float] = self.world.sum(self.sums).tolist()
        rows = sums[1]
        if not rows:
            return {}
        if self.task == "classification":
            return {"loss": sums[0] / rows, "accuracy": sums[2] / rows}
        columns = self.columns
        total, squares = sums[4 : 4 + columns], sums[4 + columns :]
        spread = sum(square - y * y / rows for y, square in zip(total, squares, strict=True))
        scale = max(sum(squares), 1e-30)
        return {
            "loss": sums[0] / rows,
            "mae": sums[2] / (rows * columns),
            "rmse": math.sqrt(sums[3] / (rows * columns)),
            "r2": 1 - sums[3] / spread if spread > 1e-12 * scale else math.nan,
        }
