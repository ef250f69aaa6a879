"""Matthews correlation coefficient."""

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def matthews() -> Metric:
    r"""Report the correlation between predicted and true classes: 1 is perfect, 0 chance; it suits unequal classes.

    Equal to ``sklearn.metrics.matthews_corrcoef``.

    Source: J. Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004.
    """

    def value(scores: Scores) -> float:
        from sklearn.metrics import matthews_corrcoef  # here, as its import takes a second

        return float(matthews_corrcoef(scores.targets, scores.predicted))

    return single("matthews", value, LABELS)
