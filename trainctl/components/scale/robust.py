"""Scaling by median and interquartile range, which outliers do not affect."""

import numpy as np
import torch
from torch import Tensor

from trainctl.components.scale.base import Affine, pooled_dimensions, shift_and_divide


def robust(*, values: Tensor) -> Affine:
    r"""Scale to median 0 and interquartile range 1, per column of a table and per channel of images.

    .. math:: x' = (x - Q_2) / (Q_3 - Q_1)

    Quartiles are interpolated linearly. A column whose quartiles are equal is only shifted. The targets of a
    regression are scaled in the same way; metrics are reported in the original units.

    Args:
        values: The training split, ``(N, F)``, ``(N, T, F)`` or ``(N, C, H, W)``. Supplied by ``assemble``.

    Source: P. Huber, Robust Statistics, 1981, chapter 5; equals scikit-learn's ``RobustScaler``.
    """
    axes = tuple(pooled_dimensions(values))
    quartiles = np.quantile(values.double().numpy(), [0.25, 0.5, 0.75], axis=axes, keepdims=True)
    low, median, high = torch.from_numpy(quartiles)
    return shift_and_divide(median, high - low)
