"""Quantile (pinball) loss."""

from typing import Annotated

import torch
from torch import Tensor

from trainctl.components.loss.base import Loss


def quantile(*, quantile: Annotated[float, "(0, 1)"]) -> Loss:
    r"""Return the pinball loss, which is minimal at a quantile of the targets instead of their mean.

    .. math:: L = \frac1n \sum_i \max\left(q\, e_i,\; (q - 1)\, e_i\right), \qquad e_i = y_i - z_i

    Outputs and targets have the same shape; :math:`q = 1/2` is half the mean absolute error.

    Args:
        quantile: :math:`q`, fraction of the targets that should be below the output [1].

    Source: R. Koenker, G. Bassett, Regression quantiles, 1978, equation 2.4.
    """

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        error = targets - outputs
        return torch.maximum(quantile * error, (quantile - 1) * error).mean()

    return Loss(function, ("regression", "reconstruction"))
