"""Random erasing of a rectangle."""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment, Limits, background, need_images, pixel_range, stored, uniform
from trainctl.errors import ConfigError

Fraction = Annotated[float, "(0, 1]"]


def erase(
    *,
    probability: Annotated[float, "[0, 1]"],
    min_fraction: Fraction,
    max_fraction: Fraction,
    min_aspect: Fraction,
    fill: Literal["random", "zero"],
    input_shape: tuple[int, ...],
    pixel_limits: Limits | None = None,
) -> Augment:
    r"""Erase a random rectangle in some of the images.

    Area and position are drawn uniformly, the aspect ratio log-uniformly; sides are rounded to whole pixels.

    Args:
        probability: Fraction of images in which a rectangle is erased [1].
        min_fraction: Smallest area of the rectangle, as a fraction of the image's area [1].
        max_fraction: Largest area, as a fraction of the image's area [1].
        min_aspect: Smallest ratio of height to width [1]; the largest is its inverse.
        fill: Contents of the rectangle: ``random`` pixels, uniform over the range of the images (0..255 for bytes), or
            ``zero``.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        pixel_limits: Returns the range of the pixels. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images, or the smallest area exceeds the largest.

    Source: Z. Zhong et al., Random erasing data augmentation, 2020, algorithm 1. A side longer than the image is
    shortened here, while the paper draws again; and the paper draws the aspect ratio uniformly.
    """
    need_images("erase", input_shape)
    if min_fraction > max_fraction:
        raise ConfigError(
            f"augment.erase.min_fraction={min_fraction} exceeds augment.erase.max_fraction={max_fraction}"
        )
    _, height, width = input_shape
    aspect = math.log(min_aspect)

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        rows, device = len(batch), batch.device
        area = uniform(min_fraction, max_fraction, rows, generator) * (height * width)
        ratio = uniform(aspect, -aspect, rows, generator).exp()
        high, wide = (area * ratio).sqrt().round().clamp(1, height), (area / ratio).sqrt().round().clamp(1, width)
        top = (uniform(0, 1, rows, generator) * (height - high + 1)).floor()
        left = (uniform(0, 1, rows, generator) * (width - wide + 1)).floor()
        y, x = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
        inside = (y >= top) & (y < top + high) & (x >= left) & (x < left + wide)
        inside = inside & (uniform(0, 1, rows, generator) < probability)
        pixels = pixel_range(batch, pixel_limits)
        if fill == "zero":
            return batch.masked_fill(inside, background(pixels))
        draws = torch.rand(batch.shape, generator=generator, device=device) * (pixels[1] - pixels[0]) + pixels[0]
        return torch.where(inside, stored(draws, batch.dtype, pixels), batch)

    return apply
