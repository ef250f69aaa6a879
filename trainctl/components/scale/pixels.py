"""Scaling of pixels to the range 0..1, independent of the data."""

import torch
from torch import Tensor

from trainctl.components.scale.base import Affine, moments, shift_and_divide
from trainctl.errors import ConfigError

# The ranges in which pixels are stored, the narrowest first.
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


def pixels(*, values: Tensor) -> Affine:
    r"""Scale pixels from the range in which they are stored to [0, 1], as pretrained models expect them.

    .. math:: x' = (x - l) / (h - l)

    The range :math:`[l, h]` is 0..255 for bytes. For other images, it is the narrowest of 0..1, -1..1 and 0..255 that
    contains the training split. Unlike ``minmax``, the same pixel always becomes the same number. Rows that are no
    images, and the targets of a regression, are standardised as with ``scale=standard``.

    Args:
        values: The training split, ``(N, F)``, ``(N, T, F)`` or ``(N, C, H, W)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If pixels are outside these ranges.

    Source: torchvision, ``ToTensor``.
    """
    if values.ndim != 4:
        return shift_and_divide(*moments(values))
    low, high = _range(values)
    one = torch.ones(1, values.shape[1], 1, 1)
    return shift_and_divide(low * one.double(), (high - low) * one.double())


def _range(values: Tensor) -> tuple[float, float]:
    """Return the range in which pixels are stored."""
    if values.dtype == torch.uint8:
        return RANGES[-1]
    lowest, highest = float(values.min()), float(values.max())
    for low, high in RANGES:
        if low <= lowest and highest <= high:
            return low, high
    raise ConfigError(
        f"scale=pixels: pixel values must be in 0..1, -1..1 or 0..255; found {lowest:g}..{highest:g}; use scale=standard"
    )
