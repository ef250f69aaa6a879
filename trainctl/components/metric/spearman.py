"""Spearman's rank correlation."""

import numpy as np

from trainctl.components.metric.base import NUMBERS, Metric, Scores, single


def spearman() -> Metric:
    r"""Report the correlation between the ranks of predictions and targets: whether larger is predicted as larger.

    With several targets, the mean. Undefined if predictions or targets are constant. Equal to ``scipy.stats.spearmanr``.

    Source: C. Spearman, The proof and measurement of association between two things, 1904.
    """

    def value(scores: Scores) -> float:
        from scipy.stats import rankdata  # here, as its import takes time

        ranks = [rankdata(values, axis=0) for values in (scores.predicted, scores.targets)]
        centred = [values - values.mean(0) for values in ranks]
        products = [
            (one * other).sum(0) for one, other in ((centred[0], centred[1]), *((each, each) for each in centred))
        ]
        return float((products[0] / np.sqrt(products[1] * products[2])).mean())

    return single("spearman", value, NUMBERS)
