"""L2 penalty (ridge)."""

import torch
from torch import Tensor, nn

from trainctl.components.regularizer.base import Regularizer, Weight


def l2(*, params: list[nn.Parameter], weight: Weight) -> Regularizer:
    r"""Add the sum of squared weights to the loss.

    .. math:: R(w) = \lambda \sum_i w_i^2, \qquad \nabla R = 2 \lambda w

    With plain gradient descent this equals a weight decay of :math:`2\lambda`; with adaptive optimizers it
    does not, see ``optimizer=adamw``.

    Args:
        params: The parameters to which weight decay would apply. Supplied by ``assemble``.
        weight: :math:`\lambda`.

    Source: A. Hoerl, R. Kennard, Ridge regression, 1970.
    """
    if not params:
        return Regularizer()

    def penalty() -> Tensor:
        return weight * torch.stack([parameter.square().sum() for parameter in params]).sum()

    return Regularizer(penalty)
