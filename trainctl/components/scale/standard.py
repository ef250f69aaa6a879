"""Standardisation to mean 0 and standard deviation 1."""

from collections.abc import Callable

from torch import Tensor

from trainctl.components.scale.base import Affine, Summary, moments, shift_and_divide


def standard(*, values: Tensor, summary: Callable[[], Summary] | None = None) -> Affine:
    r"""Scale to mean 0 and standard deviation 1, per column of a table and per channel of images.

    .. math:: x' = (x - \mu) / \sigma, \qquad \sigma^2 = \tfrac1n \sum (x_i - \mu)^2

    A constant column is only shifted. The targets of a regression are scaled in the same way; metrics are
    reported in the original units.

    Args:
        values: The training split, ``(N, F)``, ``(N, T, F)`` or ``(N, C, H, W)``. Supplied by ``assemble``.
        summary: Returns the statistics of rows that are not in memory, of which ``values`` are a sample; None: ``values``
            are all rows. Supplied by ``assemble``.

    Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 2009, section 14.5;
    equals scikit-learn's ``StandardScaler``.
    """
    return shift_and_divide(*(summary().moments if summary else moments(values)))
