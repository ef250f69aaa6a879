"""Soft orthogonality of weight matrices."""

import torch
from torch import Tensor, nn

from trainctl.components.regularizer.base import Regularizer, Weight


def orthogonal(*, params: list[nn.Parameter], weight: Weight) -> Regularizer:
    r"""Add the deviation of each weight matrix from orthogonality to the loss.

    .. math:: R(W) = \lambda \sum_W \lVert W W^\top - I \rVert_F^2

    A convolution's weights ``(out, in, ...)`` are treated as a matrix ``(out, -1)``. The smaller of :math:`W W^\top` and
    :math:`W^\top W` is used, because the larger one cannot be the identity. The stacked gates of a recurrent layer
    count as one matrix. Parameters of one dimension are not penalised.

    Args:
        params: The parameters to which weight decay would apply. Supplied by ``assemble``.
        weight: :math:`\lambda`.

    Source: A. Brock et al., Neural photo editing with introspective adversarial networks, 2017, section 3.2;
    N. Bansal, X. Chen, Z. Wang, Can we gain more from orthogonality regularizations, 2018, equations 1 and 3.
    """
    matrices = [parameter for parameter in params if parameter.ndim > 1]
    if not matrices:
        return Regularizer()

    def distance(parameter: nn.Parameter) -> Tensor:
        matrix = parameter.flatten(1)
        if matrix.shape[0] > matrix.shape[1]:
            matrix = matrix.T
        gram = matrix @ matrix.T
        return (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).square().sum()

    def penalty() -> Tensor:
        return weight * torch.stack([distance(parameter) for parameter in matrices]).sum()

    return Regularizer(penalty)
