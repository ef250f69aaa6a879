"""Limit the norm of each unit's weights."""

from typing import Annotated

import torch
from torch import nn

from trainctl.components.regularizer.base import Regularizer


def max_norm(*, params: list[nn.Parameter], limit: Annotated[float, "(0, inf)"]) -> Regularizer:
    r"""Limit the norm of each unit's weights after every optimizer step.

    .. math:: w_u \leftarrow w_u \min\left(1,\; \frac{c}{\lVert w_u \rVert_2}\right)

    A unit's weights :math:`w_u` are a row of a dense layer's matrix, a filter of a convolution, or a row of a
    recurrent layer's gate: all weights with the same first index. Parameters of one dimension are not limited.

    Args:
        params: The parameters to which weight decay would apply. Supplied by ``assemble``.
        limit: :math:`c`, the largest norm [1].

    Source: N. Srebro, J. Rennie, T. Jaakkola, Maximum-margin matrix factorization, 2005; for networks:
    N. Srivastava et al., Dropout, 2014, section 5.1 (3 to 4).
    """
    matrices = [parameter for parameter in params if parameter.ndim > 1]
    if not matrices:
        return Regularizer()

    @torch.no_grad()
    def project() -> None:
        for weight in matrices:
            weight.renorm_(p=2, dim=0, maxnorm=limit)

    return Regularizer(project=project)
