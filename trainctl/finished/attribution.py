"""How much each input number of a row has to do with a number that a model computes from it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

# Takes points (M, *S) and the row of each (M,), so that what is asked may differ by row; returns a number for each (M,).
Score = Callable[[Tensor, Tensor], Tensor]

FEWEST_STEPS = 16
# Difference of the sum of attributions from the change of the score, as a fraction of this change, and of the sum of the
# sizes of the attributions, where attributions of both signs cancel.
TOLERATED, TOLERATED_OF_SIZES = 0.01, 0.001
ROUNDING = 2e-6  # of the scores and the attributions that are added: what float32 cannot tell apart


@dataclass(frozen=True)
class Attributions:
    """The attributions of rows, and how well they add up.

    Args:
        values: ``(N, *S)``, one for each input number, in units of the score.
        score: The score of each row ``(N,)``, float64.
        base: The score of its baseline ``(N,)``, float64.
        steps: The number of points between baseline and row ``(N,)``; 0 for methods that have none.
    """

    values: Tensor
    score: Tensor
    base: Tensor
    steps: Tensor

    @property
    def sum(self) -> Tensor:
        """The sum of each row's attributions ``(N,)``, float64."""
        return exact(self.values).flatten(1).sum(1)

    @property
    def gap(self) -> Tensor:
        """How far each sum is from the change of the score, as a fraction of it ``(N,)``; 0 if both are rounding errors."""
        difference, change = (self.sum - (self.score - self.base)).abs(), (self.score - self.base).abs()
        return torch.where(difference <= _rounding(self), 0.0, difference / change)  # infinite without a change

    @property
    def complete(self) -> Tensor:
        """Whether each row's attributions add up to the change of the score ``(N,)``.

        They do within 1 % of the change, or, if attributions of both signs cancel, within 0.1 % of the sum of their sizes.
        """
        sizes = exact(self.values).flatten(1).abs().sum(1)
        off = (self.sum - (self.score - self.base)).abs()
        return (self.gap <= TOLERATED) | (off <= TOLERATED_OF_SIZES * sizes)


def _rounding(found: Attributions) -> Tensor:
    """Return the difference that float32 alone may cause ``(N,)``."""
    return ROUNDING * (found.score.abs() + found.base.abs() + exact(found.values).flatten(1).abs().sum(1))


def exact(values: Tensor) -> Tensor:
    """Return numbers in float64, on the CPU, as not every device has such numbers."""
    return values.detach().cpu().double()


def integrated_gradients(
    score: Score, inputs: Tensor, baseline: Tensor, *, most_steps: int, portion: int, fewest_steps: int = FEWEST_STEPS
) -> Attributions:
    r"""Integrate the gradient of a score along the straight line from a baseline to each row.

    .. math:: a_i = (x_i - x'_i) \int_0^1 \frac{\partial F(x' + \alpha (x - x'))}{\partial x_i} \, d\alpha,
        \qquad \sum_i a_i = F(x) - F(x')

    The integral is a sum over the nodes of Gauss and Legendre. Their number doubles, for those rows whose attributions do
    not add up yet, until they do (see :class:`Attributions`), or the most steps are reached.

    Args:
        score: :math:`F`.
        inputs: Rows ``(N, *S)``.
        baseline: :math:`x'` of each row ``(N, *S)``.
        most_steps: Most nodes.
        portion: Most points for which gradients are computed at once, which bounds the memory.
        fewest_steps: Nodes of the first try.

    Source: M. Sundararajan, A. Taly, Q. Yan, Axiomatic attribution for deep networks, 2017, equations 1 and 3, with a
    Gauss-Legendre rule instead of a Riemann sum, as in captum.
    """
    steps = min(fewest_steps, most_steps)
    ends = [_scores(score, points, portion) for points in (inputs, baseline)]
    found = Attributions(torch.zeros_like(inputs), ends[0], ends[1], torch.zeros(len(inputs), dtype=torch.long))
    open_rows = torch.arange(len(inputs))
    while len(open_rows):
        rows = open_rows.to(inputs.device)
        gradients = _integral(score, inputs, baseline, rows, steps, portion)
        found.values[rows] = gradients * (inputs[rows] - baseline[rows])
        found.steps[open_rows] = steps
        open_rows = (~found.complete).nonzero()[:, 0]
        if steps >= most_steps:
            break
        steps = min(2 * steps, most_steps)
    return found


@cache
def nodes(steps: int) -> tuple[Tensor, Tensor]:
    """Return the nodes in (0, 1) and the weights of the rule of Gauss and Legendre, in float32; the weights add up to 1.

    >>> nodes(1)
    (tensor([0.5000]), tensor([1.]))
    """
    places, weights = np.polynomial.legendre.leggauss(steps)
    return torch.from_numpy((1 + places) / 2).float(), torch.from_numpy(weights / 2).float()


def _integral(score: Score, inputs: Tensor, baseline: Tensor, rows: Tensor, steps: int, portion: int) -> Tensor:
    """Return the mean gradient on the way from the baseline to some of the rows, ``(len(rows), *S)``."""
    places, weights = (part.to(inputs.device) for part in nodes(steps))
    total = torch.zeros_like(inputs[rows])
    for indices in torch.arange(len(rows) * steps, device=inputs.device).split(portion):
        own, node = indices // steps, indices % steps
        row = rows[own]
        points = baseline[row] + _spread(places[node], inputs) * (inputs[row] - baseline[row])
        total.index_add_(0, own, gradients_of(score, points, row) * _spread(weights[node], inputs))
    return total


def gradients_of(score: Score, points: Tensor, rows: Tensor) -> Tensor:
    """Return the gradient of a score at points ``(M, *S)``; each point's score depends on no other point."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(score(points, rows).sum(), points)
    return found


def _spread(factors: Tensor, like: Tensor) -> Tensor:
    """Return factors ``(M,)`` in a shape that multiplies points ``(M, *S)``."""
    return factors.reshape(-1, *[1] * (like.ndim - 1))


@torch.no_grad()
def _scores(score: Score, points: Tensor, portion: int) -> Tensor:
    """Return the score of each row ``(N,)``, float64."""
    rows = torch.arange(len(points), device=points.device)
    parts = [exact(score(points[part], part)) for part in rows.split(portion)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def saliency(score: Score, inputs: Tensor, baseline: Tensor, *, portion: int) -> Attributions:
    r"""Return how steeply a score changes with each number of a row.

    .. math:: a_i = \left| \frac{\partial F(x)}{\partial x_i} \right|

    Args:
        score: :math:`F`.
        inputs: Rows ``(N, *S)``.
        baseline: Of each row ``(N, *S)``, for its score only.
        portion: Most rows for which gradients are computed at once.

    Source: K. Simonyan, A. Vedaldi, A. Zisserman, Deep inside convolutional networks, 2014, section 3.
    """
    rows = torch.arange(len(inputs), device=inputs.device)
    values = torch.cat([gradients_of(score, inputs[part], part).abs() for part in rows.split(portion)])
    return Attributions(
        values, _scores(score, inputs, portion), _scores(score, baseline, portion), torch.zeros_like(rows.cpu())
    )


@torch.no_grad()
def occlusion(score: Score, inputs: Tensor, baseline: Tensor, parts: Sequence[Tensor], *, portion: int) -> Attributions:
    r"""Return how much a score falls if a part of a row is replaced by the baseline.

    .. math:: a_P = F(x) - F(x \text{ with } x'_P)

    Args:
        score: :math:`F`.
        inputs: Rows ``(N, *S)``.
        baseline: :math:`x'` of each row ``(N, *S)``.
        parts: Masks ``(*S)``, bool, or ones that broadcast to it: the numbers that are replaced together.
        portion: Most points for which the score is computed at once.

    Returns:
        Attributions whose values are ``(N, P)``, one for each part.

    Source: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, 2014, section 4.2.
    """
    whole = _scores(score, inputs, portion)
    masks = torch.stack(list(parts)).to(inputs.device)
    falls = torch.empty(len(inputs) * len(masks), dtype=torch.float64)
    for indices in torch.arange(len(falls), device=inputs.device).split(portion):
        row, part = indices // len(masks), indices % len(masks)
        points = torch.where(masks[part], baseline[row], inputs[row])
        falls[indices.cpu()] = whole[row.cpu()] - exact(score(points, row))
    values = falls.reshape(len(inputs), len(masks)).float()
    return Attributions(values, whole, _scores(score, baseline, portion), torch.zeros(len(inputs), dtype=torch.long))


def patches(height: int, width: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Yield the squares of an image, row by row; those at the right and at the bottom may be smaller.

    >>> [(y.start, y.stop, x.start, x.stop) for y, x in patches(2, 3, 2)]
    [(0, 2, 0, 2), (0, 2, 2, 3)]
    """
    for top in range(0, height, size):
        for left in range(0, width, size):
            yield slice(top, min(top + size, height)), slice(left, min(left + size, width))
