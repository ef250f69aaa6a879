"""Huber loss."""

from functools import partial
from typing import Annotated

from torch.nn import functional

from trainctl.components.loss.base import Loss


def huber(*, delta: Annotated[float, "(0, inf)"]) -> Loss:
    r"""Return the Huber loss: squared for small errors and absolute for large ones.

    .. math::
        L = \frac1n \sum_i h(z_i - y_i), \qquad
        h(e) = \begin{cases} e^2 / 2 & |e| \le \delta \\ \delta\, (|e| - \delta / 2) & |e| > \delta \end{cases}

    Outputs and targets have the same shape.

    Args:
        delta: :math:`\delta`, the error above which the loss is absolute [unit of the scaled targets: with
            ``scale=standard``, standard deviations].

    Source: P. Huber, Robust estimation of a location parameter, 1964.
    """
    return Loss(partial(functional.huber_loss, delta=delta), ("regression", "reconstruction"))
