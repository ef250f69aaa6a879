"""Balanced accuracy."""

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def balanced_accuracy() -> Metric:
    r"""Report the mean over the classes of the fraction of their rows that are predicted correctly.

    Unlike accuracy, it is no better than 1 / C for a model that always predicts the same of C classes. Classes without
    rows do not count. Equal to ``sklearn.metrics.balanced_accuracy_score``.

    Source: K. Brodersen et al., The balanced accuracy and its posterior distribution, ICPR 2010.
    """

    def value(scores: Scores) -> float:
        from sklearn.metrics import balanced_accuracy_score  # here, as its import takes a second

        return float(balanced_accuracy_score(scores.targets, scores.predicted))

    return single("balanced_accuracy", value, LABELS)
