"""Random rotations."""

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from trainctl.components.augment.base import Augment, need_images, stored, uniform


def rotate(*, degrees: Annotated[float, "(0, 180]"], input_shape: tuple[int, ...]) -> Augment:
    r"""Turn each image around its centre by an angle drawn evenly from :math:`\pm` ``degrees``.

    Pixels are interpolated linearly between their four neighbours; outside the image all is 0.

    Args:
        degrees: Largest angle, in both directions [degrees].
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are not images.

    Source: P. Simard, D. Steinkraus, J. Platt, Best practices for convolutional neural networks applied to
    visual document analysis, 2003, section 2.
    """
    need_images("rotate", input_shape)
    largest = math.radians(degrees)

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        return turned(batch, uniform(-largest, largest, len(batch), generator).flatten())

    return apply


def turned(batch: Tensor, angles: Tensor) -> Tensor:
    """Turn each image counter-clockwise by its angle ``(N,)`` [radians]."""
    height, width = batch.shape[2:]
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # Where each output pixel comes from, in units of half the image's width and height.
    origin = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], dim=1),
            torch.stack([sine * width / height, cosine, zero], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(origin, list(batch.shape), align_corners=False)
    return stored(functional.grid_sample(batch.float(), grid, align_corners=False), batch.dtype)
