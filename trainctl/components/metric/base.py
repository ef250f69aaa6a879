"""What a metric is computed from, and the type that every metric returns."""

import math
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Task = Literal["classification", "regression", "reconstruction"]
Average = Literal["macro", "weighted", "micro", "by_class"]
LABELS: tuple[Task, ...] = ("classification",)
NUMBERS: tuple[Task, ...] = ("regression", "reconstruction")


@dataclass(frozen=True)
class Scores:
    """The targets and the predictions of all rows of a split.

    Args:
        targets: Classes ``(N,)`` as int64, or values in their units ``(N, K)`` as float64.
        predicted: The most probable classes ``(N,)``, or the predicted values ``(N, K)``.
        probabilities: Of each class ``(N, C)`` as float64; None for values.
    """

    targets: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None = None

    @property
    def chances(self) -> np.ndarray:
        """The probabilities of the classes ``(N, C)``; only for a classification."""
        assert self.probabilities is not None
        return self.probabilities


@dataclass(frozen=True)
class Metric:
    """One or more numbers that describe how well a model predicts the rows of a split.

    Args:
        names: Of the numbers, such as ``f1``; they are reported as ``val/f1``.
        compute: Returns the numbers, in the order of the names; NaN for one that is undefined, e.g. because the split has
            no row of a class.
        tasks: The tasks for which it is defined.
    """

    names: tuple[str, ...]
    compute: Callable[[Scores], Sequence[float]]
    tasks: tuple[Task, ...]


def single(name: str, function: Callable[..., Any], tasks: tuple[Task, ...]) -> Metric:
    """Return a metric with one number, ``function(scores)``."""
    return Metric((name,), lambda scores: [defined(function, scores)], tasks)


def defined(function: Callable[..., Any], *arguments: Any, **settings: Any) -> float:
    """Return a number that a library computes; NaN if it is undefined for these rows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of scikit-learn, where a metric is undefined
        try:
            return float(function(*arguments, **settings))
        except ValueError:
            return math.nan


def averaged(
    name: str, averages: Sequence[Average], class_names: Sequence[str], by_class: Callable[..., Any]
) -> Metric:
    """Return a metric that is computed for each class, and averaged in several ways.

    Args:
        name: Of the metric; the macro average has this name, the others a suffix.
        averages: Which averages are reported.
        class_names: Names of the classes.
        by_class: ``(targets, predicted, labels=, average=, zero_division=) -> numbers``, of scikit-learn.
    """
    labels = list(range(len(class_names)))
    names: list[str] = []
    for average in averages:
        names += slugs(name, class_names) if average == "by_class" else [f"{name}_{average}".replace("_macro", "")]

    def compute(scores: Scores) -> list[float]:
        result: list[float] = []
        for average in averages:
            how = None if average == "by_class" else average
            values = by_class(scores.targets, scores.predicted, labels=labels, average=how, zero_division=0)
            result += np.atleast_1d(values).tolist()
        return result

    return Metric(tuple(names), compute, LABELS)


def slugs(name: str, class_names: Iterable[str]) -> list[str]:
    """Return a name for the metric of each class, distinct ones.

    >>> slugs("f1", ["a", "B c", "ä"])
    ['f1_a', 'f1_b_c', 'f1_2']
    """
    words = [re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") for label in class_names]
    return [f"{name}_{word if word and words.count(word) == 1 else index}" for index, word in enumerate(words)]
