"""Permutation importance: how much worse a run gets if what belongs together is torn apart."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainctl.data.rows import Batch, SplitName
from trainctl.fileformat.waiting import waiting
from trainctl.finished.attribution import patches
from trainctl.finished.features import Features
from trainctl.machine.device import autocast, derive
from trainctl.run.metric_names import maximize
from trainctl.run.run import Evaluation
from trainctl.step.eager import scaled

MOST_ROWS = 1000  # that are shuffled: more tell little more, and take long
SQUARES = 7  # most squares of an image along a side
METRICS = {"classification": "accuracy", "regression": "rmse", "reconstruction": "rmse"}


@dataclass(frozen=True)
class Importance:
    """What shuffling one part of the rows costs.

    Args:
        name: The column, or the square of pixels.
        mean: Mean loss of the metric over the repetitions: how much accuracy falls, or RMSE rises.
        spread: Its standard deviation; 0 for one repetition.
        loss: Mean increase in the loss.
        loss_spread: Its standard deviation.
    """

    name: str
    mean: float
    spread: float
    loss: float
    loss_spread: float


@dataclass(frozen=True)
class Part:
    """A part of a row whose values are shuffled together.

    Args:
        name: What it is called.
        mask: Its numbers, ``(*shape)`` or a shape that broadcasts to it, bool.
    """

    name: str
    mask: Tensor


def parts(features: Features) -> list[Part]:
    """Return what is shuffled: the columns of a table; those of a series, at all steps; squares of images; nothing of texts."""
    if features.kind == "text":
        return []
    if features.kind != "image":
        owners = torch.tensor(features.column_of)
        shape = features.shape if features.kind == "table" else (len(owners),)  # of a series at every step
        return [Part(name, (owners == index).reshape(shape)) for index, name in enumerate(features.columns)]
    _, height, width = features.shape
    found = []
    for down, right in squares(features):
        mask = torch.zeros(1, height, width, dtype=torch.bool)
        mask[:, down, right] = True
        found.append(Part(f"y{down.start}_x{right.start}", mask))
    return found


def squares(features: Features) -> list[tuple[slice, slice]]:
    """Return the squares of an image whose pixels are shuffled together."""
    _, height, width = features.shape
    return list(patches(height, width, math.ceil(max(height, width) / SQUARES)))


def importances(
    measured: Evaluation, split: SplitName, shuffled: Sequence[Part], repeats: int, seed: int
) -> tuple[dict[str, float], list[Importance]]:
    r"""Measure a split once as it is, and with each part shuffled between its rows.

    .. math:: I_k = \frac1R \sum_{r=1}^R M(X, y) - M(X_{k, r}, y)

    for an accuracy :math:`M`; the sign is the other one for errors. :math:`X_{k, r}` has the values of part k in another
    order of the rows, so that they have the same distribution, but nothing to do with the rest of the row. The inputs of
    a reconstruction are its targets, shuffled too: its importances say how much a part has to do with the others.

    Args:
        measured: The model, in evaluation mode, with its data.
        split: The rows; of more than 1,000, these at even distances.
        shuffled: The parts.
        repeats: :math:`R`.
        seed: Of the orders, each of which is a function of (seed, part, repetition).

    Returns:
        The metrics of the rows as they are, and the importance of each part.

    Source: L. Breiman, Random forests, 2001, section 10; A. Fisher, C. Rudin, F. Dominici, All models are wrong, but
    many are useful, 2019. The spread is that between the repetitions, as in scikit-learn.
    """
    rows = measured.data.splits[split].sample(MOST_ROWS)
    usual = _metrics(measured, split, rows)
    metric = METRICS[measured.task]
    sign = 1.0 if maximize(f"{split}/{metric}") else -1.0
    found = []
    with waiting("shuffling", len(shuffled) * repeats, "parts") as wait:
        for place, part in enumerate(shuffled):
            costs, rises = [], []
            for repeat in range(repeats):
                generator = torch.Generator().manual_seed(derive(seed, place, repeat))
                order = torch.randperm(len(rows[0]), generator=generator).to(measured.device)
                values = _metrics(measured, split, rows, part.mask.to(measured.device), order)
                costs.append(sign * (usual[metric] - values[metric]))
                rises.append(values["loss"] - usual["loss"])
                wait.advance()
            found.append(Importance(part.name, *_summary(costs), *_summary(rises)))
    return usual, found


def _summary(values: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


@torch.no_grad()
def _metrics(
    measured: Evaluation, split: SplitName, rows: Batch, mask: Tensor | None = None, order: Tensor | None = None
) -> dict[str, float]:
    """Return the metrics of rows; with a mask, its values are those of other rows, in this order."""
    sums = measured.new_sums(split)
    everything, targets = rows
    for indices in torch.arange(len(everything), device=everything.device).split(measured.batch_size):
        stored = everything[indices]
        if mask is not None and order is not None:
            stored = torch.where(mask, everything[order[indices]], stored)
        inputs, expected = scaled(measured, stored, targets[indices])
        with autocast(measured.device, measured.precision):
            outputs = measured.model(inputs)
        outputs = outputs.float()
        sums.add(measured.loss(outputs, expected), outputs, expected)
    return sums.values()
