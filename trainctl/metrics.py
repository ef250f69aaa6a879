"""Running sums on the device; nothing here waits for it but :meth:`Sums.values`."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainctl.scale.base import Affine


class Sums:
    """Sums over the rows seen since the last reset, from which a task's metrics follow.

    A regression's errors are summed in the targets' original units, a reconstruction's in scaled ones.

    Args:
        task: ``classification``, ``regression`` or ``reconstruction``.
        columns: Columns of the targets; 1 for classes.
        units: The scaling of the targets.
        device: Where outputs and targets are.
    """

    def __init__(self, task: str, columns: int, units: Affine | None, device: torch.device) -> None:
        self.task, self.columns, self.units = task, columns, units
        precision = torch.float32 if device.type == "mps" else torch.float64
        # loss, rows, then for classes: correct; for numbers: |error|, error^2, and per column y, y^2
        size = 3 if task == "classification" else 4 + 2 * columns
        self.sums = torch.zeros(size, dtype=precision, device=device)

    @torch.no_grad()
    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss, the model's outputs and the scaled targets."""
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

    def reset(self) -> None:
        """Start again from zero."""
        self.sums.zero_()

    def values(self) -> dict[str, float]:
        """Return the metrics by name; waits for the device. R2 is NaN where the targets are constant."""
        sums: Sequence[float] = self.sums.tolist()
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
