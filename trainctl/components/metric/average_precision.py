"""Average precision."""

import numpy as np

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def average_precision() -> Metric:
    r"""Report the area under the precision-recall curve; of several classes the mean of each against all others.

    .. math:: \sum_n (R_n - R_{n-1}) P_n

    Undefined if the split lacks a class. Equal to ``sklearn.metrics.average_precision_score``.

    Source: M. Zhu, Recall, precision and average precision, 2004.
    """

    def value(scores: Scores) -> float:
        from sklearn.metrics import average_precision_score  # here, as its import takes a second

        chances = scores.chances
        if chances.shape[1] == 2:
            return float(average_precision_score(scores.targets, chances[:, 1]))
        hits = scores.targets[:, None] == np.arange(chances.shape[1])
        if not hits.any(0).all():
            return float("nan")
        return float(average_precision_score(hits, chances, average="macro"))

    return single("average_precision", value, LABELS)
