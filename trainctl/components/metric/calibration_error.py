"""Expected calibration error."""

from typing import Annotated

import numpy as np

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def calibration_error(*, bins: Annotated[int, "[1, inf)"]) -> Metric:
    r"""Report by how much the confidence of predictions differs from how often they are right.

    Rows are divided by the probability of the predicted class into bins of equal width:

    .. math:: \sum_b \frac{n_b}{N} \, |\text{accuracy}_b - \text{confidence}_b|

    Args:
        bins: Number of bins between 0 and 1.

    Source: C. Guo et al., On calibration of modern neural networks, ICML 2017.
    """

    def value(scores: Scores) -> float:
        confidence = scores.chances.max(1)
        right = scores.predicted == scores.targets
        place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # a bin has its upper end
        gaps = np.bincount(place, right - confidence, minlength=bins)
        return float(np.abs(gaps).sum() / len(confidence))

    return single("calibration_error", value, LABELS)
