"""Random rotations."""

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from trainctl.components.augment.base import Augment, Limits, background, need_images, pixel_range, stored, uniform


def rotate(
    *, degrees: Annotated[float, "(0, 180]"], input_shape: tuple[int, ...], pixel_limits: Limits | None = None
) -> Augment:
    r"""Rotate each image around its centre by a random angle of up to ``degrees`` in either direction.

    Angles are drawn uniformly. Pixels are interpolated bilinearly; pixels outside the image are 0
    (or the pixel nearest to 0 that images have).

    Args:
        degrees: Largest angle, in both directions [degrees].
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        pixel_limits: Returns the range of the pixels. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images.

    Source: P. Simard, D. Steinkraus, J. Platt, Best practices for convolutional neural networks applied to
    visual document analysis, 2003, section 2.
    """
    need_images("rotate", input_shape)
    largest = math.radians(degrees)

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        angles = uniform(-largest, largest, len(batch), generator).flatten()
        return rotated(batch, angles, pixel_range(batch, pixel_limits))

    return apply


def rotated(batch: Tensor, angles: Tensor, pixels: tuple[float, float] = (0.0, 255.0)) -> Tensor:
    """Rotate each image counter-clockwise by its angle ``(N,)`` [radians]; ``pixels`` is the range of its pixels."""
    height, width = batch.shape[2:]
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # The source of each output pixel, in units of half the image's width and height.
    origin = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], dim=1),
            torch.stack([sine * width / height, cosine, zero], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(origin, list(batch.shape), align_corners=False)
    blank = background(pixels)  # the sampling fills with 0
    images = functional.grid_sample(batch.float() - blank, grid, align_corners=False) + blank
    return stored(images, batch.dtype, pixels)
