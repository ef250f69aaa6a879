"""Random shifts by a fraction of the image size."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment, Limits, background, need_images, pixel_range, windows
from trainctl.errors import ConfigError


def translate(
    *, fraction: Annotated[float, "(0, 1)"], input_shape: tuple[int, ...], pixel_limits: Limits | None = None
) -> Augment:
    """Shift each image vertically and horizontally by up to a fraction of its height and width.

    Shifts are whole pixels; pixels shifted in at the edges are 0 (or the pixel nearest to 0
    that images have). In ``augment=crop`` the largest shift is a number of
    pixels.

    Args:
        fraction: Largest shift as a fraction of the image's height and width [1], rounded down to pixels.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        pixel_limits: Returns the range of the pixels. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images, or the largest shift is less than a pixel.

    Source: P. Simard, D. Steinkraus, J. Platt, Best practices for convolutional neural networks applied to
    visual document analysis, 2003, section 2.
    """
    need_images("translate", input_shape)
    _, height, width = input_shape
    down, right = int(fraction * height), int(fraction * width)
    if not down and not right:
        raise ConfigError(
            f"augment.translate.fraction={fraction} is less than a pixel for images of {height} x {width}"
        )

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        blank = background(pixel_range(batch, pixel_limits))
        padded = torch.nn.functional.pad(batch, [right, right, down, down], value=blank)
        top = torch.randint(0, 2 * down + 1, (len(batch),), generator=generator, device=batch.device)
        left = torch.randint(0, 2 * right + 1, (len(batch),), generator=generator, device=batch.device)
        return windows(padded, top, left, height, width)

    return apply
