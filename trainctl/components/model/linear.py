"""Linear model."""

import math

from torch import nn


def linear(*, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    r"""Return a linear model: softmax regression with ``loss=cross_entropy``, linear regression with ``loss=mse``.

    .. math:: y = W x + b

    Inputs ``(N, *input_shape)`` are flattened; outputs are ``(N, outputs)``. For ridge or lasso regression, add
    ``regularizer=l2`` or ``regularizer=l1``.

    Args:
        input_shape: Shape of a sample. Supplied by ``assemble``.
        outputs: Number of outputs per sample. Supplied by ``assemble``.

    Source: C. Bishop, Pattern recognition and machine learning, 2006, sections 3.1 and 4.3.4.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), outputs))
