"""CutMix: replace a rectangle by that of another image."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixer, Mixing, beta, need_images, need_targets


def cutmix(*, alpha: Annotated[float, "(0, inf)"], input_shape: tuple[int, ...], task: str) -> Mixer:
    r"""Paste a rectangle of another image of the batch into each image, and mix their targets by area.

    .. math:: x' = M \odot x_i + (1 - M) \odot x_j, \qquad y' = \lambda y_i + (1 - \lambda) y_j

    The rectangle's height and width are :math:`\sqrt{1 - \lambda'}` of the image's, with :math:`\lambda' \sim
    \operatorname{Beta}(\alpha, \alpha)`, and its centre is anywhere; parts outside the image are cut off, and
    :math:`\lambda` is the fraction of pixels that remain. Rectangle and :math:`\lambda` are the same for the whole batch
    (or micro-batch). For classes the losses are mixed instead of the targets, which is equivalent for cross entropy;
    training accuracy counts the class with the larger weight.

    Args:
        alpha: :math:`\alpha` [1]; 1 gives a uniform distribution.
        input_shape: ``(C, H, W)``. Supplied by ``assemble``.
        task: The run's task. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are not images, or the model reconstructs its input.

    Source: S. Yun et al., CutMix: Regularization strategy to train strong classifiers with localizable
    features, 2019, equations 1 and 2, algorithm A1.
    """
    need_images("cutmix", input_shape)
    need_targets("cutmix", task)
    _, height, width = input_shape

    def apply(batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Mixing]:
        device = batch.device
        side = (1 - beta(alpha, generator)).sqrt()
        centre = torch.rand(2, generator=generator, device=device)
        partner = torch.randperm(len(batch), generator=generator, device=device)
        rows = _inside((centre[0] * height).floor(), (side * height).floor(), height)
        columns = _inside((centre[1] * width).floor(), (side * width).floor(), width)
        pasted = rows[:, None] & columns
        return torch.where(pasted, batch[partner], batch), Mixing(1 - pasted.float().mean(), partner)

    return apply


def _inside(centre: Tensor, length: Tensor, size: int) -> Tensor:
    """Return which of ``size`` pixels are in an interval that starts half its length, rounded down, before the centre."""
    first = centre - (length / 2).floor()
    pixels = torch.arange(size, device=centre.device)
    return (pixels >= first) & (pixels < first + length)
