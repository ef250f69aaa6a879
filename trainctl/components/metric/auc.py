"""Area under the ROC curve."""

from trainctl.components.metric.base import LABELS, Metric, Scores, single


def auc() -> Metric:
    r"""Report the area under the ROC curve; of several classes the mean of each against all others.

    It is the probability that a row of the class gets a higher probability than one of another class; 0.5 is chance.
    Undefined if the split lacks a class. Equal to ``sklearn.metrics.roc_auc_score``.

    Source: T. Fawcett, An introduction to ROC analysis, 2006.
    """

    def value(scores: Scores) -> float:
        from sklearn.metrics import roc_auc_score  # here, as its import takes a second

        chances = scores.chances
        if chances.shape[1] == 2:
            return float(roc_auc_score(scores.targets, chances[:, 1]))
        labels = list(range(chances.shape[1]))
        return float(roc_auc_score(scores.targets, chances, multi_class="ovr", average="macro", labels=labels))

    return single("auc", value, LABELS)
