"""Limit the absolute value of each weight."""

from typing import Annotated

import torch
from torch import nn

from trainctl.components.regularizer.base import Regularizer


def weight_clip(*, params: list[nn.Parameter], limit: Annotated[float, "(0, inf)"]) -> Regularizer:
    r"""Clip each weight to an interval around 0 after every optimizer step.

    .. math:: w_i \leftarrow \max(-c, \min(c, w_i))

    Args:
        params: The parameters to which weight decay would apply. Supplied by ``assemble``.
        limit: :math:`c`, the largest absolute value [1].

    Source: M. Arjovsky, S. Chintala, L. Bottou, Wasserstein GAN, 2017, algorithm 1.
    """
    if not params:
        return Regularizer()

    @torch.no_grad()
    def project() -> None:
        for parameter in params:
            parameter.clamp_(-limit, limit)

    return Regularizer(project=project)
