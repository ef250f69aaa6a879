"""Random horizontal flips."""

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
    r"""Flip each image horizontally with a given probability.

    If ``alternating`` is true, image :math:`i` is flipped in epoch :math:`e` (counted from 0) when

    .. math:: [u_i < p] + e \quad\text{is odd}, \qquad u_i \sim U(0, 1) \text{ drawn once},

    so that two successive epochs show both orientations of every image; independent draws do so for half of them.

    Args:
        probability: :math:`p`, fraction of images that are flipped [1]; if alternating, in even epochs.
        alternating: Whether each image's orientation is drawn once and then changes with every epoch.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        draws: Returns :math:`u`, one number for each training row. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural
    networks, 2012, section 4.1; alternating: K. Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024,
    section 3.6.
    """
    need_images("flip", input_shape)

    def apply(batch: Tensor, generator: torch.Generator) -> Tensor:
        return flipped(batch, torch.rand(len(batch), generator=generator, device=batch.device) < probability)

    if not alternating:
        return apply
    first = draws() < probability

    def alternate(batch: Tensor, generator: torch.Generator, *, visit: Visit) -> Tensor:
        mask = first.index_select(0, visit.rows)
        return flipped(batch, mask if visit.epoch % 2 == 0 else ~mask)

    return alternate


def flipped(batch: Tensor, mask: Tensor) -> Tensor:
    """Flip those images of a batch horizontally for which the mask ``(N,)`` is true."""
    return torch.where(mask[:, None, None, None], batch.flip(-1), batch)
