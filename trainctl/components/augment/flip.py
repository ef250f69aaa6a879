"""Random mirroring, left to right."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Augment, Tracker, Visit, need_images


def flip(
    *,
    probability: Annotated[float, "[0, 1]"],
    alternating: bool,
    input_shape: tuple[int, ...],
    draws: Callable[[], Tensor],
) -> Augment | Tracker:
    r"""Mirror each image left to right with a probability.

    Alternating, image :math:`i` is mirrored in epoch :math:`e` (from 0) where

    .. math:: [u_i < p] + e \quad\text{is odd}, \qquad u_i \sim U(0, 1) \text{ drawn once},

    so that two successive epochs show both sides of every image, which by chance they do for half of them.

    Args:
        probability: :math:`p`, share of images that are mirrored [1]; alternating, in the first epoch and every second.
        alternating: Whether the side of an image is drawn once, and changes with every epoch.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        draws: Returns :math:`u`, one for each training row. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows are not images.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural
    networks, 2012, section 4.1; alternating: K. Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024,
    section 3.6.
    """
    need_images("flip", input_shape)

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        chosen = torch.rand(len(batch), generator=generator, device=batch.device) < probability
        return mirrored(batch, chosen)

    if not alternating:
        return apply
    first = draws() < probability

    def alternate(batch: Tensor, generator: torch.Generator, *, visit: Visit) -> Tensor:
        chosen = first.index_select(0, visit.rows)
        return mirrored(batch, chosen if visit.epoch % 2 == 0 else ~chosen)

    return alternate


def mirrored(batch: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen images of a batch, ``(N,)``, left to right."""
    return torch.where(chosen[:, None, None, None], batch.flip(-1), batch)
