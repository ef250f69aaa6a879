"""Cohen's kappa."""

from typing import Literal

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def kappa(*, weights: Literal["linear", "quadratic"] | None) -> Metric:
    r"""Report the agreement of predictions and classes beyond chance: 1 is complete, 0 chance.

    .. math:: \frac{p_o - p_e}{1 - p_e}

    Equal to ``sklearn.metrics.cohen_kappa_score`` with all classes as its labels.

    Args:
        weights: For ordered classes, how much a confusion counts: ``linear`` or ``quadratic`` in their distance; null: all
            alike.

    Source: J. Cohen, A coefficient of agreement for nominal scales, 1960.
    """

    def value(scores: Scores) -> float:
        from sklearn.metrics import cohen_kappa_score  # here, as its import takes a second

        labels = range(scores.chances.shape[1])  # or a class that the split lacks would shorten the distances
        return float(cohen_kappa_score(scores.targets, scores.predicted, labels=labels, weights=weights))

    return single("kappa", value, LABELS)
