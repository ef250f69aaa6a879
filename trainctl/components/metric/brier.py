"""Brier score."""

import numpy as np

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def brier() -> Metric:
    r"""Report the mean squared difference between probabilities and the truth.

    .. math:: \frac{1}{N} \sum_i \sum_c (p_{ic} - [y_i = c])^2

    and half of that for two classes, as is usual. Equal to ``sklearn.metrics.brier_score_loss``.

    Source: G. Brier, Verification of forecasts expressed in terms of probability, 1950.
    """

    def value(scores: Scores) -> float:
        chances = scores.chances
        truth = scores.targets[:, None] == np.arange(chances.shape[1])
        total = float(np.square(chances - truth).sum(1).mean())
        return total / 2 if chances.shape[1] == 2 else total

    return single("brier", value, LABELS)
