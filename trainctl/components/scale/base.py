"""The type that every scaling returns: one multiplication and one addition."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor


@dataclass(frozen=True)
class Affine:
    """``x * factor + offset``, broadcast over a batch; fitted on the training split, saved with the run.

    Args:
        factor: ``(1, F)`` for tables, ``(1, C, 1, 1)`` for images, float32.
        offset: The same shape.
    """

    factor: Tensor
    offset: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Scale a batch; bytes become float32, token ids (int64) are returned unchanged."""
        if values.dtype == torch.int64:
            return values
        return (values.float() * self.factor).add_(self.offset)  # addcmul takes twice as long, because both broadcast

    def inverse(self, values: Tensor) -> Tensor:
        """Convert a batch back to its original units."""
        return (values - self.offset) / self.factor

    def to(self, device: torch.device) -> "Affine":
        """Return the same scaling on a device."""
        return Affine(self.factor.to(device), self.offset.to(device))


def pooled_dimensions(values: Tensor) -> list[int]:
    """Return the dimensions over which a statistic is computed: all but the channels of images or the last dimension."""
    return [0, 2, 3] if values.ndim == 4 else list(range(values.ndim - 1))


def shift_and_divide(shift: Tensor, width: Tensor) -> Affine:
    """Return ``(x - shift) / width``; where the width is 0, the value is constant and is only shifted."""
    width = torch.where(width > 0, width, torch.ones_like(width))
    return Affine((1 / width).float(), (-shift / width).float())


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over :func:`pooled_dimensions`, in float64 and with these dimensions kept.

    Byte images are counted by pixel value, which is exact and needs no copy of the images in float64.
    """
    dimensions = pooled_dimensions(values)
    if values.dtype != torch.uint8 or values.ndim != 4:
        exact = values.double()
        return exact.mean(dimensions, keepdim=True), exact.std(dimensions, correction=0, keepdim=True)
    return moments_of_counts(_counts(values))


def _counts(values: Tensor) -> Tensor:
    """Return how often each value occurs in each channel of byte images ``(C, 256)``."""
    return torch.stack(
        [torch.bincount(values[:, channel].flatten(), minlength=256) for channel in range(values.shape[1])]
    )


def moments_of_counts(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the pixels of each channel ``(1, C, 1, 1)`` from their counts ``(C, 256)``."""
    frequencies = counts.double() / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64)
    mean = frequencies @ levels
    deviation = (frequencies * (levels - mean[:, None]).square()).sum(1).sqrt()
    return mean.reshape(1, -1, 1, 1), deviation.reshape(1, -1, 1, 1)


@dataclass(frozen=True)
class Summary:
    """Statistics of rows that are not in memory, over :func:`pooled_dimensions`, which are kept; float64.

    Args:
        count: Number of values of each column or channel that are not missing.
        mean: Their mean.
        squares: The sum of their squared differences from the mean.
        low: The smallest.
        high: The largest.
        counts: Of byte images, how often each pixel value occurs in each channel ``(C, 256)``; None for others.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor
    low: Tensor
    high: Tensor
    counts: Tensor | None = None

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, as :func:`moments` returns them; of byte images the same numbers."""
        if self.counts is not None:
            return moments_of_counts(self.counts)
        return self.mean, (self.squares / self.count).sqrt()

    def merged(self, other: "Summary") -> "Summary":
        """Return the statistics of the rows of both.

        Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979.
        """
        count = self.count + other.count
        share = torch.where(count > 0, other.count / count.clamp(min=1), 0.0)
        delta = torch.where((self.count > 0) & (other.count > 0), other.mean - self.mean, 0.0)
        mean = torch.where(self.count > 0, self.mean + delta * share, other.mean)
        return Summary(
            count=count,
            mean=mean,
            squares=self.squares + other.squares + delta.square() * self.count * share,
            low=torch.minimum(self.low, other.low),
            high=torch.maximum(self.high, other.high),
            counts=None if self.counts is None or other.counts is None else self.counts + other.counts,
        )


def summary_of(portions: Iterable[Tensor]) -> Summary:
    """Return the statistics of rows that come in portions, without those that are missing (NaN).

    The portions are added in their order, so the same portions give the same bits.

    Args:
        portions: Rows ``(N, F)``, ``(N, T, F)`` or ``(N, C, H, W)``; at least one portion.
    """
    return reduce(Summary.merged, map(_summary, portions))


def _summary(values: Tensor) -> Summary:
    dimensions = pooled_dimensions(values)
    if values.dtype == torch.uint8 and values.ndim == 4:
        counts = _counts(values)
        mean, deviation = moments_of_counts(counts)
        count = torch.full_like(mean, int(counts[0].sum()))
        low, high = (values.amin(dimensions, keepdim=True).double(), values.amax(dimensions, keepdim=True).double())
        return Summary(count, mean, deviation.square() * count, low, high, counts)
    exact = values.double()
    known = ~exact.isnan()
    count = known.sum(dimensions, keepdim=True).double()
    mean = exact.nansum(dimensions, keepdim=True) / count.clamp(min=1)
    squares = (exact - mean).square().nansum(dimensions, keepdim=True)
    low = torch.where(known, exact, torch.inf).amin(dimensions, keepdim=True)
    high = torch.where(known, exact, -torch.inf).amax(dimensions, keepdim=True)
    return Summary(count, mean, squares, low, high)
