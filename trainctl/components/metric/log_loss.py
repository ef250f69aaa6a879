"""Log loss."""

import numpy as np

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def log_loss() -> Metric:
    r"""Report the mean of the negative logarithm of the probability of the true class.

    It does not depend on the loss that is trained, on its weights or its smoothing. Equal to ``sklearn.metrics.log_loss``.

    Source: C. Bishop, Pattern recognition and machine learning, 2006, section 4.3.4.
    """

    def value(scores: Scores) -> float:
        chances = scores.chances[np.arange(len(scores.targets)), scores.targets]
        return float(-np.log(np.clip(chances, np.finfo(np.float64).eps, 1.0)).mean())

    return single("log_loss", value, LABELS)
