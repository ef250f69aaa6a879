"""Random erasing of a rectangle."""

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment, need_images, stored, uniform
from trainctl.errors import ConfigError

Share = Annotated[float, "(0, 1]"]


def erase(
    *,
    probability: Annotated[float, "[0, 1]"],
    min_fraction: Share,
    max_fraction: Share,
    min_aspect: Share,
    fill: Literal["random", "zero"],
    input_shape: tuple[int, ...],
) -> Augment:
    r"""Erase a random rectangle of some of the images.

    Area and place are drawn evenly, the aspect ratio evenly on a logarithmic scale; sides are whole pixels.

    Args:
        probability: Share of images that lose a rectangle [1].
        min_fraction: Smallest area of the rectangle, as a share of the image's [1].
        max_fraction: Largest area, likewise.
        min_aspect: Smallest ratio of height to width [1]; the largest is its inverse.
        fill: What stands in the rectangle: ``random`` pixels in 0..255, or ``zero``.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are not images, or the smallest area exceeds the largest.

    Source: Z. Zhong et al., Random erasing data augmentation, 2020, algorithm 1; a side longer than the
    image's is cut here, where the paper draws anew, and it draws the aspect ratio evenly.
    """
    need_images("erase", input_shape)
    if min_fraction > max_fraction:
        raise ConfigError(
            f"augment.erase.min_fraction={min_fraction} exceeds augment.erase.max_fraction={max_fraction}"
        )
    _, height, width = input_shape
    aspect = math.log(min_aspect)

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        rows, place = len(batch), batch.device
        area = uniform(min_fraction, max_fraction, rows, generator) * (height * width)
        ratio = uniform(aspect, -aspect, rows, generator).exp()
        high, wide = (area * ratio).sqrt().round().clamp(1, height), (area / ratio).sqrt().round().clamp(1, width)
        top = (uniform(0, 1, rows, generator) * (height - high + 1)).floor()
        left = (uniform(0, 1, rows, generator) * (width - wide + 1)).floor()
        y, x = torch.arange(height, device=place)[:, None], torch.arange(width, device=place)
        inside = (y >= top) & (y < top + high) & (x >= left) & (x < left + wide)
        inside = inside & (uniform(0, 1, rows, generator) < probability)
        if fill == "zero":
            return batch.masked_fill(inside, 0)
        pixels = torch.rand(batch.shape, generator=generator, device=place) * 255
        return torch.where(inside, stored(pixels, batch.dtype), batch)

    return apply
