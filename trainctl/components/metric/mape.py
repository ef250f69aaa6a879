"""Mean absolute percentage error."""

import numpy as np

from trainctl.components.metric.base import NUMBERS, Metric, Scores, single


def mape() -> Metric:
    r"""Report the mean of the absolute errors, each as a fraction of its target [1].

    Targets near 0 dominate it. Equal to ``sklearn.metrics.mean_absolute_percentage_error``.

    Source: R. Hyndman, A. Koehler, Another look at measures of forecast accuracy, 2006.
    """

    def value(scores: Scores) -> float:
        scale = np.maximum(np.abs(scores.targets), np.finfo(np.float64).eps)
        return float((np.abs(scores.predicted - scores.targets) / scale).mean())

    return single("mape", value, NUMBERS)
