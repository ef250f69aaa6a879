"""F1 score."""

from trainctl.components.metric.base import Average, Metric, averaged


def f1(*, averages: list[Average], class_names: tuple[str, ...]) -> Metric:
    r"""Report the harmonic mean of precision and recall.

    .. math:: \frac{2\,TP}{2\,TP + FP + FN}

    for a class; 0 where the denominator is 0. ``macro`` is the mean over the classes, ``weighted`` the mean weighted by
    their rows, ``micro`` counts the rows of all classes together. Equal to ``sklearn.metrics.f1_score``
    with all classes as its labels: one that the split lacks counts as 0 in the mean.

    Args:
        averages: ``macro`` (reported as ``f1``), ``weighted``, ``micro`` (with these as a suffix), or ``by_class`` (one
            number for each class, with its name as a suffix).
        class_names: Names of the classes. Supplied by ``assemble``.

    Source: C. van Rijsbergen, Information retrieval, 1979.
    """
    from sklearn.metrics import f1_score  # here, as its import takes a second

    return averaged("f1", averages, class_names, f1_score)
