"""How uncertain the metrics of the group ``metric`` are: computed again from rows that are drawn with replacement."""

import time
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from trainctl.components.metric.base import Metric, Scores

RESAMPLES = 200
MANY_ROWS, OF_MANY = 1000, 50  # with more rows, a metric is as good as normally distributed; 50 give its spread to 10 %
SLOW = 0.05  # seconds of processor time for a metric, of which many are computed: some seconds at most
PERCENTILES = (2.5, 97.5)
DEVIATIONS = 1.959964  # of the normal distribution, for 95 %


def intervals(metrics: Sequence[Metric], scores: Scores) -> dict[str, list[float]]:
    """Return the 95 % confidence interval of each number of these metrics, by its name (bootstrap; B. Efron, 1979).

    A number has none if it is the same for all rows that were drawn, which says nothing about other rows, or if it is
    undefined for some of them. A metric that takes long has none either.

    Args:
        metrics: The metrics.
        scores: Targets and predictions of all rows of a split.
    """
    found: dict[str, list[float]] = {}
    if len(scores.targets) > 1:
        for metric in metrics:
            if metric.names:
                found |= _of_one(metric, scores)
    return found


def _of_one(metric: Metric, scores: Scores) -> dict[str, list[float]]:
    rows = len(scores.targets)
    generator = np.random.default_rng(0)
    try:
        start = time.process_time()
        middle = np.array([*metric.compute(scores)], dtype=float)
        if time.process_time() - start > SLOW:
            return {}
        drawn = np.array([
            [*metric.compute(_taken(scores, generator.integers(0, rows, rows)))]
            for _ in range(RESAMPLES if rows <= MANY_ROWS else OF_MANY)
        ], dtype=float)  # fmt: skip
    except Exception:  # noqa: BLE001 - one of the user's own, which may need, for example, a row of each class
        return {}
    if rows <= MANY_ROWS:
        low, high = np.percentile(drawn, PERCENTILES, axis=0)
    else:
        width = DEVIATIONS * drawn.std(axis=0, ddof=1)
        low, high = middle - width, middle + width
    ends = zip(metric.names, low.tolist(), high.tolist(), strict=True)
    return {name: [first, last] for name, first, last in ends if first < last}  # not of NaN


def _taken(scores: Scores, rows: np.ndarray) -> Scores:
    """Return the scores of some of the rows."""
    parts = {each.name: getattr(scores, each.name) for each in fields(scores)}
    return replace(scores, **{name: part[rows] for name, part in parts.items() if part is not None})
