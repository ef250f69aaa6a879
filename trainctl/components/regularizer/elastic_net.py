"""Elastic net: L1 and L2 together."""

from typing import Annotated

import torch
from torch import Tensor, nn

from trainctl.components.regularizer.base import Regularizer, Weight


def elastic_net(*, params: list[nn.Parameter], weight: Weight, l1_fraction: Annotated[float, "[0, 1]"]) -> Regularizer:
    r"""Add a weighted sum of the L1 and L2 penalties to the loss.

    .. math:: R(w) = \lambda \sum_i \left( \alpha |w_i| + (1 - \alpha)\, w_i^2 \right)

    Args:
        params: The parameters to which weight decay would apply. Supplied by ``assemble``.
        weight: :math:`\lambda`.
        l1_fraction: :math:`\alpha`, weight of the L1 penalty [1].

    Source: H. Zou, T. Hastie, Regularization and variable selection via the elastic net, 2005, equation 4,
    with :math:`1 - \alpha` for the L2 penalty (scikit-learn halves that term).
    """
    if not params:
        return Regularizer()

    def penalty() -> Tensor:
        parts = [
            l1_fraction * parameter.abs().sum() + (1 - l1_fraction) * parameter.square().sum() for parameter in params
        ]
        return weight * torch.stack(parts).sum()

    return Regularizer(penalty)
