"""Mixup: weighted means of two rows."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.augment.base import Mixer, Mixing, beta, need_numbers, need_targets, stored


def mixup(*, alpha: Annotated[float, "(0, inf)"], dtype: torch.dtype, task: str) -> Mixer:
    r"""Mix each row with another row of its batch, and their targets likewise.

    .. math:: x' = \lambda x_i + (1 - \lambda) x_j, \qquad y' = \lambda y_i + (1 - \lambda) y_j,
        \qquad \lambda \sim \operatorname{Beta}(\alpha, \alpha)

    There is one :math:`\lambda` for a batch (for a micro-batch, if there are some). For classes the losses are mixed
    instead of the targets, which for cross entropy is the same; training accuracy counts the class with the
    larger share. Pixels of bytes are rounded.

    Args:
        alpha: :math:`\alpha` [1]: below 1 most mixtures are nearly one of the rows, 1 is even.
        dtype: Of the rows. Supplied by ``assemble``.
        task: Of the run. Supplied by ``assemble``.

    Raises:
        ConfigError: If rows hold codes of words, or the model reconstructs its input.

    Source: H. Zhang et al., mixup: Beyond empirical risk minimization, 2018, equation 2 and figure 1a.
    """
    need_numbers("mixup", dtype)
    need_targets("mixup", task)

    def apply(batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Mixing]:
        share = beta(alpha, generator)
        partner = torch.randperm(len(batch), generator=generator, device=batch.device)
        values = batch.float()
        return stored(torch.lerp(values[partner], values, share), batch.dtype), Mixing(share, partner)

    return apply
