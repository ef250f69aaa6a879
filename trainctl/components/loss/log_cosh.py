"""Logarithm of the hyperbolic cosine of the error."""

import math

from torch import Tensor
from torch.nn import functional

from trainctl.components.loss.base import Loss


def log_cosh() -> Loss:
    r"""Return the log-cosh loss: about half the squared error if it is small, about the absolute error if it is large.

    .. math::
        L = \frac1n \sum_i \log \cosh e_i, \qquad e_i = z_i - y_i, \qquad \frac{\partial L}{\partial z_i} = \frac{\tanh e_i}{n}

    Outputs and targets have the same shape. The loss is computed as :math:`|e| + \log(1 + e^{-2|e|}) - \log 2`, which
    does not overflow.

    Source: P. Green, Bayesian reconstructions from emission tomography data using a modified EM algorithm,
    1990, section III.
    """

    def function(outputs: Tensor, targets: Tensor) -> Tensor:
        error = (outputs - targets).abs()
        return (error + functional.softplus(-2 * error) - math.log(2)).mean()

    return Loss(function, ("regression", "reconstruction"))
