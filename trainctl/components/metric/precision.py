"""Precision."""

from trainctl.components.metric.base import Average, Metric, averaged


def precision(*, averages: list[Average], class_names: tuple[str, ...]) -> Metric:
    r"""Report which fraction of the rows that are predicted as a class belong to it.

    .. math:: \frac{TP}{TP + FP}

    for a class; 0 where the denominator is 0. ``macro`` is the mean over the classes, ``weighted`` the mean weighted by
    their rows, ``micro`` counts the rows of all classes together. Equal to ``sklearn.metrics.precision_score``
    with all classes as its labels: one that the split lacks counts as 0 in the mean.

    Args:
        averages: ``macro`` (reported as ``precision``), ``weighted``, ``micro`` (with these as a suffix), or ``by_class`` (one
            number for each class, with its name as a suffix).
        class_names: Names of the classes. Supplied by ``assemble``.

    Source: C. van Rijsbergen, Information retrieval, 1979.
    """
    from sklearn.metrics import precision_score  # here, as its import takes a second

    return averaged("precision", averages, class_names, precision_score)
