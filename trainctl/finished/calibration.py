"""Calibration: whether what a model says with 80 % confidence is true in 80 % of the cases."""

from dataclasses import dataclass

import numpy as np

BINS = 15
FEWEST = 10  # rows whose mean target tells something


@dataclass(frozen=True)
class Bin:
    """The rows whose values lie in an interval.

    Args:
        rows: How many.
        said: Mean of what the model says: its confidence, or the number it predicts.
        true: What is true of them: the fraction that is right, or the mean target.
    """

    rows: int
    said: float
    true: float


def by_confidence(confidences: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Return the rows in intervals of confidence of equal width, ``(0, 1/B], (1/B, 2/B], ...``; empty ones are left out.

    Args:
        confidences: Probability of the predicted class ``(N,)``.
        right: Whether the prediction is right ``(N,)``.
        bins: :math:`B`.

    >>> by_confidence(np.array([0.75, 1.0, 0.25]), np.array([True, False, True]), 2)
    [Bin(rows=1, said=0.25, true=1.0), Bin(rows=2, said=0.875, true=0.5)]
    """
    places = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    return _bins(places, confidences, right)


def by_prediction(predictions: np.ndarray, targets: np.ndarray, fewest: int = FEWEST) -> list[Bin]:
    """Return the rows in order of the predicted number, in intervals with equal numbers of rows, at most 15.

    Args:
        predictions: ``(N,)``.
        targets: ``(N,)``.
        fewest: Rows that an interval has at least, if there are so many.

    >>> by_prediction(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 3.0, 5.0]), 2)
    [Bin(rows=2, said=1.5, true=2.0), Bin(rows=2, said=3.5, true=4.0)]
    """
    bins = max(1, min(BINS, len(predictions) // fewest))
    places = np.empty(len(predictions), dtype=int)
    places[np.argsort(predictions, kind="stable")] = np.arange(len(predictions)) * bins // max(1, len(predictions))
    return _bins(places, predictions, targets)


def _bins(places: np.ndarray, said: np.ndarray, true: np.ndarray) -> list[Bin]:
    found = []
    for place in np.unique(places):
        own = places == place
        found.append(Bin(int(own.sum()), float(said[own].mean()), float(true[own].mean())))
    return found


def expected_error(bins: list[Bin]) -> float:
    r"""Return the expected calibration error: the mean distance of what is said from what is true.

    .. math:: ECE = \sum_b \frac{n_b}{n} \left| \text{true}_b - \text{said}_b \right|

    Source: C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On calibration of modern neural networks, 2017, equation 3.

    >>> expected_error([Bin(1, 0.25, 1.0), Bin(2, 0.875, 0.5)])
    0.5
    """
    rows = sum(one.rows for one in bins)
    return sum(one.rows * abs(one.true - one.said) for one in bins) / rows if rows else 0.0
