"""Mixup: weighted means of two samples."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixer, Mixing, beta, need_numbers, need_targets, stored


def mixup(*, alpha: Annotated[float, "(0, inf)"], dtype: torch.dtype, task: str) -> Mixer:
    r"""Mix each sample with another one of its batch, and their targets in the same proportion.

    .. math:: x' = \lambda x_i + (1 - \lambda) x_j, \qquad y' = \lambda y_i + (1 - \lambda) y_j,
        \qquad \lambda \sim \operatorname{Beta}(\alpha, \alpha)

    There is one :math:`\lambda` per batch (or micro-batch). For classes the losses are mixed instead of the targets,
    which is equivalent for cross entropy; training accuracy counts the class with the larger weight. Byte pixels
    are rounded.

    Args:
        alpha: :math:`\alpha` [1]: below 1 most mixtures are close to one of the samples; 1 is uniform.
        dtype: The samples' type. Supplied by ``assemble``.
        task: The run's task. Supplied by ``assemble``.

    Raises:
        ConfigError: If samples are token ids, or the model reconstructs its input.

    Source: H. Zhang et al., mixup: Beyond empirical risk minimization, 2018, equation 2 and figure 1a.
    """
    need_numbers("mixup", dtype)
    need_targets("mixup", task)

    def apply(batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Mixing]:
        weight = beta(alpha, generator)
        partner = torch.randperm(len(batch), generator=generator, device=batch.device)
        values = batch.float()
        return stored(torch.lerp(values[partner], values, weight), batch.dtype), Mixing(weight, partner)

    return apply
