"""Random mirroring, left to right."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.augment.base import Augment, need_images


def flip(*, probability: Annotated[float, "[0, 1]"], input_shape: tuple[int, ...]) -> Augment:
    """Mirror each image left to right with a probability.

    Args:
        probability: Share of images that are mirrored [1].
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are not images.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural
    networks, 2012, section 4.1.
    """
    need_images("flip", input_shape)

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.rand(len(batch), 1, 1, 1, generator=generator, device=batch.device) < probability
        return torch.where(chosen, batch.flip(-1), batch)

    return apply
