"""Median absolute error."""

import numpy as np

from trainctl.components.metric.base import NUMBERS, Metric, Scores, single


def median_error() -> Metric:
    r"""Report the median of the absolute errors, in the unit of the target; few rows with large errors do not change it.

    With several targets, the mean of their medians. Equal to ``sklearn.metrics.median_absolute_error``.

    Source: P. Rousseeuw, A. Leroy, Robust regression and outlier detection, 1987.
    """

    def value(scores: Scores) -> float:
        return float(np.median(np.abs(scores.predicted - scores.targets), axis=0).mean())

    return single("median_error", value, NUMBERS)
