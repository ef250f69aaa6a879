"""Running sums on the device; only :meth:`Sums.values` waits for the device."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainctl.components.scale.base import Affine

MOST_WAITING = 1 << 15  # elements of outputs that are collected before they are summed
ROUNDING = 1e-13  # of the squared distance from the shift: a smaller variance is a trace of rounding


class Sums:
    """Sums over the rows since the last reset, from which a task's metrics are computed.

    Errors of a regression are summed in the targets' original units, those of a reconstruction in scaled units. For
    classification on a CPU, batches are collected and summed together, which takes fewer calls; when they are summed does
    not change the result, not even in the last bit.

    The variance of the targets is computed from their differences to a typical target, the shift. If it was computed
    from the targets themselves, targets far from zero would lose their digits.

    Args:
        task: ``classification``, ``regression`` or ``reconstruction``.
        columns: Columns of the targets; 1 for classes.
        units: The scaling of the targets; None if they are not scaled.
        device: The device of outputs and targets.
        typical: Some of the scaled targets ``(N, ...)``, whose mean is the shift; None for a shift of 0.
    """

    def __init__(
        self,
        task: str,
        columns: int,
        units: Affine | None,
        device: torch.device,
        typical: Tensor | None = None,
    ) -> None:
        self.task, self.columns, self.units = task, columns, units
        precision = torch.float32 if device.type == "mps" else torch.float64
        # loss, rows, then for classes: correct; for numbers: |error|, error^2, per column the shift s, y - s, (y - s)^2,
        # and, if a regression has several, per column |error| and error^2
        self.detailed = task == "regression" and columns > 1
        size = 3 if task == "classification" else 4 + (5 if self.detailed else 3) * columns
        self._sums = torch.zeros(size, dtype=precision, device=device)
        if typical is not None and task != "classification":
            self._part(0).copy_(self._in_units(typical).to(precision).mean(0))
        self.waits = task == "classification" and device.type == "cpu"
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._elements = 0  # of the collected outputs

    def _part(self, number: int) -> Tensor:
        """Return the shift (0), or the sums of one kind for each column ``(K,)``: 1, 2 of targets, 3, 4 of errors."""
        start = 4 + number * self.columns
        return self._sums[start : start + self.columns]

    def _in_units(self, values: Tensor) -> Tensor:
        values = values.detach().float().flatten(1)
        return values if self.units is None else self.units.inverse(values)

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
        exact = self._in_units(targets).to(self.sums.dtype)
        error = self._in_units(outputs).to(self.sums.dtype) - exact
        distance = exact - self._part(0)
        self.sums[2].add_(error.abs().sum())
        self.sums[3].add_(error.square().sum())
        self._part(1).add_(distance.sum(0))
        self._part(2).add_(distance.square().sum(0))
        if self.detailed:
            self._part(3).add_(error.abs().sum(0))
            self._part(4).add_(error.square().sum(0))

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

    def take(self) -> Tensor:
        """Return the sums, and set them to zero."""
        taken = self.sums.clone()
        self.reset()
        return taken

    def put(self, taken: Tensor) -> None:
        """Set the sums to those that were taken."""
        self.sums.copy_(taken)

    def fold(self, parts: Sequence[Tensor]) -> None:
        """Add the sums of parts of the rows in their order, with the bits that adding their batches one by one has.

        A sum of one batch is the number that a running sum would have added.
        """
        sums, shift = self.sums, slice(4, 4 + self.columns)
        for part in parts:
            added = part.to(sums)
            if self.task != "classification":
                added[shift] = 0  # the same for all parts
            sums.add_(added)

    def reset(self) -> None:
        """Set all sums to zero; the shift stays."""
        self.sums[:4].zero_()
        self.sums[4 + self.columns :].zero_()

    def restore(self, saved: Tensor) -> None:
        """Continue from saved sums; those of earlier versions have no shift, and no errors for each column."""
        columns = self.columns
        if self.task == "classification" or len(saved) == len(self.sums):
            self.sums.copy_(saved)
            return
        self.reset()
        saved = saved.to(self.sums)
        shift, rows, (total, squares) = self._part(0), saved[1], saved[4:].split(columns)
        self.sums[:4].copy_(saved[:4])
        self._part(1).copy_(total - rows * shift)
        self._part(2).copy_(squares - 2 * shift * total + rows * shift.square())
        if self.detailed:  # how the errors were divided among the columns is not known
            self._part(3).copy_(saved[2].expand(columns) / columns)
            self._part(4).copy_(saved[3].expand(columns) / columns)

    def values(self) -> dict[str, float]:
        """Return the metrics by name; waits for the device.

        For a regression with several targets, RMSE and R2 are the means of those of the columns, as scikit-learn has them
        (``multioutput="uniform_average"``); a reconstruction's are of all its values together.
        """
        sums = self._total()
        rows = sums[1]
        if not rows:
            return {}
        if self.task == "classification":
            return {"loss": sums[0] / rows, "accuracy": sums[2] / rows}
        means = {"loss": sums[0] / rows, "mae": sums[2] / (rows * self.columns)}
        if self.detailed:
            each = self.by_column()
            return means | {name: sum(one[name] for one in each) / self.columns for name in ("rmse", "r2")}
        rmse = math.sqrt(sums[3] / (rows * self.columns))
        return means | {"rmse": rmse, "r2": r2(sums[3], sum(self._spreads(sums)), rows)}

    def by_column(self) -> list[dict[str, float]]:
        """Return MAE, RMSE and R2 of each target of a regression, in their order; waits for the device."""
        sums = self._total()
        rows, columns = sums[1], self.columns
        start = 4 + 3 * columns
        errors = (sums[start : start + columns], sums[start + columns :]) if self.detailed else ([sums[2]], [sums[3]])
        return [
            {"mae": absolute / rows, "rmse": math.sqrt(square / rows), "r2": r2(square, spread, rows)}
            for absolute, square, spread in zip(*errors, self._spreads(sums), strict=True)
        ]

    def _total(self) -> list[float]:
        total: list[float] = self.sums.tolist()
        return total

    def _spreads(self, sums: Sequence[float]) -> list[float]:
        """Return the sum of squared differences of each target column from its mean; 0 if it is constant."""
        rows, columns = sums[1], self.columns
        totals, squares = sums[4 + columns : 4 + 2 * columns], sums[4 + 2 * columns : 4 + 3 * columns]
        spreads = [square - total * total / rows for total, square in zip(totals, squares, strict=True)]
        return [spread if spread > ROUNDING * square else 0.0 for spread, square in zip(spreads, squares, strict=True)]


def r2(error: float, spread: float, rows: float) -> float:
    """Return the coefficient of determination, as scikit-learn defines it.

    Args:
        error: Sum of squared errors.
        spread: Sum of squared differences of the targets from their mean.
        rows: Number of rows; R2 of fewer than two is undefined: NaN.

    >>> r2(1.0, 4.0, 9), r2(0.0, 0.0, 9), r2(1.0, 0.0, 9), r2(0.0, 0.0, 1)
    (0.75, 1.0, 0.0, nan)
    """
    if rows < 2 or math.isnan(error):
        return math.nan
    if spread > 0:
        return 1 - error / spread
    return float(error == 0)  # of constant targets
