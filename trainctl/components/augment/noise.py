"""Gaussian noise."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment, Limits, need_numbers, pixel_range, stored


def noise(
    *,
    std: Annotated[float, "(0, inf)"],
    dtype: torch.dtype,
    deviation: Callable[[], Tensor],
    pixel_limits: Limits | None = None,
) -> Augment:
    r"""Add Gaussian noise to images, tables or sequences.

    .. math:: x' = x + \sigma\, s\, \epsilon, \qquad \epsilon \sim N(0, 1)

    The standard deviation of the noise is :math:`\sigma` times :math:`s`, the standard deviation of each column or
    image channel in the training split. Images are clipped to the range of their pixels, and bytes
    rounded. Together with
    ``model=autoencoder`` this trains a denoising autoencoder: the target is the clean input.

    Args:
        std: :math:`\sigma`, as a fraction of the training split's standard deviation [1].
        dtype: The samples' type. Supplied by ``assemble``.
        deviation: Returns :math:`s`, which broadcasts over a batch. Supplied by ``assemble``.
        pixel_limits: Returns the range of the pixels. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are token ids.

    Source: C. Bishop, Training with noise is equivalent to Tikhonov regularization, 1995; P. Vincent et al.,
    Extracting and composing robust features with denoising autoencoders, 2008.
    """
    need_numbers("noise", dtype)
    width = std * deviation()

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        draws = torch.randn(batch.shape, generator=generator, device=batch.device)
        pixels = pixel_range(batch, pixel_limits) if batch.ndim == 4 else None
        return stored(torch.addcmul(batch.float(), draws, width), batch.dtype, pixels)

    return apply
