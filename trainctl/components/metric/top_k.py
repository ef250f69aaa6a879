"""Top-k accuracy."""

from typing import Annotated

import numpy as np

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def top_k(*, k: Annotated[int, "[1, inf)"]) -> Metric:
    r"""Report the fraction of the rows whose class is among the k most probable ones; named ``top_5`` for k = 5.

    Of equal probabilities, the later class counts as more probable. Equal to ``sklearn.metrics.top_k_accuracy_score``.

    Args:
        k: Number of classes.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification with deep convolutional neural networks, 2012.
    """

    def value(scores: Scores) -> float:
        best = np.argsort(scores.chances, axis=1, kind="stable")[:, ::-1][:, :k]
        return float((best == scores.targets[:, None]).any(1).mean())

    return single(f"top_{k}", value, LABELS)
