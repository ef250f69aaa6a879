"""Random shifts: pad the image, then crop it to its original size."""

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainctl.components.augment.base import Augment, Limits, background, need_images, pixel_range, windows
from trainctl.errors import ConfigError


def crop(
    *,
    padding: Annotated[int, "[1, inf)"],
    border: Literal["zero", "reflect"],
    input_shape: tuple[int, ...],
    pixel_limits: Limits | None = None,
) -> Augment:
    """Pad each image on all sides and cut out a random window of the original size.

    Args:
        padding: Width of the border [pixels], below the image's height and width; this is the largest shift.
        border: Contents of the border: ``zero`` (or the pixel nearest to 0 that images have), or ``reflect`` for the image
            mirrored at its outermost pixels.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        pixel_limits: Returns the range of the pixels. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images, or the border is as wide as the image.

    Source: K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning, 2016, section 4.2 (for CIFAR: 4 pixels, zeros).
    """
    need_images("crop", input_shape)
    _, height, width = input_shape
    if padding >= min(height, width):
        raise ConfigError(f"augment.crop.padding={padding} must be below the image size {height} x {width}")

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        if border == "reflect":
            padded = reflected(batch, padding)
        else:
            padded = functional.pad(batch, [padding] * 4, value=background(pixel_range(batch, pixel_limits)))
        top, left = torch.randint(0, 2 * padding + 1, (2, len(batch)), generator=generator, device=batch.device)
        return windows(padded, top, left, height, width)

    return apply


def reflected(batch: Tensor, padding: int) -> Tensor:
    """Pad images with their own pixels, mirrored at the outermost ones; PyTorch's padding does not accept bytes."""
    for axis in (2, 3):
        last = batch.shape[axis] - 1
        distances = torch.arange(-padding, last + 1 + padding, device=batch.device).abs()
        batch = batch.index_select(axis, last - (last - distances).abs())
    return batch
