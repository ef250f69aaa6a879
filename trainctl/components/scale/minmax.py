"""Scaling to the range 0..1."""

from collections.abc import Callable

from torch import Tensor

from trainctl.components.scale.base import Affine, Summary, pooled_dimensions, shift_and_divide


def minmax(*, values: Tensor, summary: Callable[[], Summary] | None = None) -> Affine:
    r"""Scale the training split's range to [0, 1], per column of a table and per channel of images.

    .. math:: x' = (x - \min) / (\max - \min)

    A constant column becomes 0. Validation and test values may be outside [0, 1]. The targets of a regression
    are scaled in the same way; metrics are reported in the original units.

    Args:
        values: The training split, ``(N, F)``, ``(N, T, F)`` or ``(N, C, H, W)``. Supplied by ``assemble``.
        summary: Returns the statistics of rows that are not in memory, of which ``values`` are a sample; None: ``values``
            are all rows. Supplied by ``assemble``.

    Source: Han, Kamber, Pei, Data Mining, 2011, section 3.5.2; equals scikit-learn's ``MinMaxScaler``.
    """
    if summary:
        found = summary()
        return shift_and_divide(found.low, found.high - found.low)
    dimensions = pooled_dimensions(values)
    low, high = values.amin(dimensions, keepdim=True).double(), values.amax(dimensions, keepdim=True).double()
    return shift_and_divide(low, high - low)
