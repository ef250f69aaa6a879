"""L1 penalty (lasso)."""

import torch
from torch import Tensor, nn

from trainctl.components.regularizer.base import Regularizer, Weight


def l1(*, params: list[nn.Parameter], weight: Weight) -> Regularizer:
    r"""Add the sum of absolute weights to the loss, which makes weights sparse.

    .. math:: R(w) = \lambda \sum_i |w_i|

    Args:
        params: The parameters to which weight decay would apply. Supplied by ``assemble``.
        weight: :math:`\lambda`.

    Source: R. Tibshirani, Regression shrinkage and selection via the lasso, 1996.
    """
    if not params:
        return Regularizer()

    def penalty() -> Tensor:
        return weight * torch.stack([parameter.abs().sum() for parameter in params]).sum()

    return Regularizer(penalty)
