"""What a run predicts for the rows of one of its splits, and the rows with the worst mistakes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainctl.data.centre import add
from trainctl.data.rows import SplitName
from trainctl.fileformat.waiting import waiting
from trainctl.machine.device import autocast
from trainctl.run.run import Evaluation
from trainctl.step.eager import scaled


@dataclass(frozen=True)
class Outcomes:
    """What is predicted for each row, on the CPU.

    Args:
        task: The model's task.
        predicted: Classes ``(N,)``, or numbers in the targets' units ``(N, K)``; of a reconstruction, empty.
        true: Classes ``(N,)``, or numbers ``(N, K)``; of a reconstruction, empty.
        confidence: Probability of the predicted class ``(N,)``; empty unless there are classes.
        of_true: Probability of the true class ``(N,)``; empty unless there are classes.
        error: How bad each row is ``(N,)``: -log of the probability of the true class, the root mean squared error over
            the targets in scaled units, or that of the reconstruction.
    """

    task: str
    predicted: Tensor
    true: Tensor
    confidence: Tensor
    of_true: Tensor
    error: Tensor

    @property
    def wrong(self) -> Tensor:
        """Whether each row is a mistake ``(N,)``; where there are no classes, every row is one, larger or smaller."""
        return self.predicted != self.true if self.task == "classification" else torch.ones_like(self.error).bool()

    def worst(self) -> Tensor:
        """Return the numbers of the mistakes, the worst first; of the rows, the least certain first, if there are none."""
        rows = self.wrong.nonzero()[:, 0] if self.wrong.any() else torch.arange(len(self.error))
        return rows[torch.sort(self.error[rows], descending=True, stable=True).indices]


@torch.no_grad()
def outcomes(measured: Evaluation, split: SplitName) -> Outcomes:
    """Return what is predicted for the rows of a split; the model is in evaluation mode."""
    rows = measured.data.splits[split]
    parts: list[tuple[Tensor, ...]] = []
    with waiting(f"predicting {split}", len(rows), "rows") as wait:
        for stored, targets in rows.portions(measured.batch_size):
            inputs, expected = scaled(measured, stored, targets)
            with autocast(measured.device, measured.precision):
                outputs = measured.model(inputs)
            parts.append(tuple(tensor.cpu() for tensor in portion(measured, outputs.float(), expected)))
            wait.advance(len(stored))
    return Outcomes(measured.task, *(torch.cat(kind) for kind in zip(*parts, strict=True)))


def portion(measured: Evaluation, outputs: Tensor, expected: Tensor) -> tuple[Tensor, ...]:
    """Return the fields of :class:`Outcomes` for a portion, after the task."""
    nothing = outputs.new_zeros(0)
    if measured.task == "classification":
        logs = outputs.log_softmax(1)
        best, own = logs.max(1), logs.gather(1, expected[:, None])[:, 0]
        return best.indices, expected, best.values.exp(), own.exp(), -own
    error = (outputs - expected).flatten(1).square().mean(1).sqrt()
    if measured.task == "reconstruction":
        return nothing, nothing, nothing, nothing, error
    units, centre = measured.data.target_scale, measured.data.schema.target_centre
    numbers = [add(units.inverse(values) if units else values, centre) for values in (outputs, expected)]
    return numbers[0], numbers[1], nothing, nothing, error
