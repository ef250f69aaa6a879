"""The type that every scaling returns: one multiplication and one addition."""

from dataclasses import dataclass

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
    counts = torch.stack(
        [torch.bincount(values[:, channel].flatten(), minlength=256) for channel in range(values.shape[1])]
    )
    frequencies = counts.double() / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64)
    mean = frequencies @ levels
    deviation = (frequencies * (levels - mean[:, None]).square()).sum(1).sqrt()
    return mean.reshape(1, -1, 1, 1), deviation.reshape(1, -1, 1, 1)
