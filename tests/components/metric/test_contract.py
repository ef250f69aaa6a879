"""Each metric equals scikit-learn's, whatever the classes and values, and says NaN where it is undefined."""

import math
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as reference
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from trainctl.components.metric.base import NUMBERS, Scores
from trainctl.run import factory, metric_names
from trainctl.settings import component

CONF = Path(__file__).parents[3] / "conf" / "metric"
NAMES = sorted(set(component.names("metric")) - {"none"})


def make(name, classes=3, **changes):
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return factory.build("metric", keys | changes, class_names=tuple("abcdefgh"[:classes]))


def labels(seed, rows, classes):
    """Return scores of a model that is right more often than by chance."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes)) + 1.2 * np.eye(classes)[targets]
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Scores(targets, chances.argmax(1), chances)


def values(seed, rows, columns):
    generator = np.random.default_rng(seed)
    targets = generator.normal(size=(rows, columns)).round(1) * 10
    return Scores(targets, targets + generator.normal(size=targets.shape))


def auc(scores):
    if scores.chances.shape[1] == 2:
        return reference.roc_auc_score(scores.targets, scores.chances[:, 1])
    return reference.roc_auc_score(scores.targets, scores.chances, multi_class="ovr")


def average_precision(scores):
    if scores.chances.shape[1] == 2:
        return reference.average_precision_score(scores.targets, scores.chances[:, 1])
    return reference.average_precision_score(np.eye(scores.chances.shape[1])[scores.targets], scores.chances)


def brier(scores):
    classes = scores.chances.shape[1]
    if classes == 2:
        return reference.brier_score_loss(scores.targets, scores.chances[:, 1])
    return reference.mean_squared_error(np.eye(classes)[scores.targets], scores.chances) * classes


def of_labels(function, **keys):
    return lambda scores: function(scores.targets, scores.predicted, **keys)


def of_chances(function, **keys):
    def value(scores):
        return function(scores.targets, scores.chances, labels=range(scores.chances.shape[1]), **keys)

    return value


EXPECTED = {
    "balanced_accuracy": of_labels(reference.balanced_accuracy_score),
    "precision": of_labels(reference.precision_score, average="macro", zero_division=0),
    "recall": of_labels(reference.recall_score, average="macro", zero_division=0),
    "f1": of_labels(reference.f1_score, average="macro", zero_division=0),
    "kappa": of_labels(reference.cohen_kappa_score),
    "matthews": of_labels(reference.matthews_corrcoef),
    "log_loss": of_chances(reference.log_loss),
    "auc": auc,
    "average_precision": average_precision,
    "brier": brier,
    "mape": of_labels(reference.mean_absolute_percentage_error),
    "median_error": of_labels(reference.median_absolute_error),
    "spearman": lambda scores: np.mean(
        [spearmanr(scores.targets[:, k], scores.predicted[:, k])[0] for k in range(scores.targets.shape[1])]
    ),
}
OTHERS = {"top_k", "calibration_error"}  # tested below


def test_every_metric_is_compared():
    assert set(NAMES) == {*EXPECTED, *OTHERS}


@pytest.mark.parametrize("name", EXPECTED)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(60, 200), size=st.integers(2, 6))
def test_it_equals_scikit_learn(name, seed, rows, size):
    metric = make(name, size)
    scores = values(seed, rows, size) if metric.tasks == NUMBERS else labels(seed, rows, size)
    (value,) = metric.compute(scores)
    assert value == pytest.approx(EXPECTED[name](scores), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k(k):
    scores = labels(0, 200, 6)
    metric = make("top_k", 6, k=k)
    assert metric.names == (f"top_{k}",)
    expected = 1.0 if k >= 6 else reference.top_k_accuracy_score(scores.targets, scores.chances, k=k)
    assert metric.compute(scores) == [pytest.approx(expected)]


def test_of_equal_probabilities_top_k_takes_the_later_class_as_scikit_learn_does():
    scores = Scores(np.array([0, 1, 2]), np.array([0, 0, 0]), np.full((3, 3), 1 / 3))
    expected = reference.top_k_accuracy_score(scores.targets, scores.chances, k=2)
    assert make("top_k", 3, k=2).compute(scores) == [pytest.approx(expected)]


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_a_class_that_a_split_lacks_does_not_shorten_the_distances_of_kappa(weights):
    generator = np.random.default_rng(0)
    targets, predicted = generator.choice([0, 1, 3], (2, 60))
    scores = Scores(targets, predicted, np.eye(4)[predicted])
    expected = reference.cohen_kappa_score(targets, predicted, labels=range(4), weights=weights)
    assert expected != pytest.approx(reference.cohen_kappa_score(targets, predicted, weights=weights))
    assert make("kappa", 4, weights=weights).compute(scores) == [pytest.approx(expected)]


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_a_class_that_a_split_lacks_counts_as_zero_in_a_mean(name):
    targets = np.array([0, 0, 2, 2])
    scores = Scores(targets, targets, np.eye(3)[targets])
    function = getattr(reference, f"{name}_score")
    expected = function(targets, targets, labels=range(3), average="macro", zero_division=0)
    assert make(name, 3).compute(scores) == [pytest.approx(expected)] == [pytest.approx(2 / 3)]


def test_calibration_error_by_hand():
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    scores = Scores(np.array([0, 1, 1, 1]), chances.argmax(1), chances)
    # Two bins: all four confidences lie in the upper one; 3 of 4 are right with a mean confidence of 0.7375.
    assert make("calibration_error", 2, bins=2).compute(scores) == [pytest.approx(abs(3 / 4 - 0.7375))]
    # Ten bins: 0.9 and 0.8 have their own, (0.6, 0.7] and (0.5, 0.6] too.
    expected = (abs(1 - 0.9) + abs(0 - 0.8) + abs(1 - 0.7) + abs(1 - 0.55)) / 4
    assert make("calibration_error", 2, bins=10).compute(scores) == [pytest.approx(expected)]
    sure = Scores(np.array([0, 0]), np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert make("calibration_error", 2).compute(sure) == [0.0]


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_averages_have_names(name):
    scores = labels(3, 90, 3)
    metric = make(name, 3, averages=["macro", "weighted", "micro", "by_class"])
    assert metric.names == (name, f"{name}_weighted", f"{name}_micro", f"{name}_a", f"{name}_b", f"{name}_c")
    function = getattr(reference, f"{name}_score")
    expected = [function(scores.targets, scores.predicted, average=how) for how in ("macro", "weighted", "micro")]
    expected += list(function(scores.targets, scores.predicted, average=None))
    assert metric.compute(scores) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(set(EXPECTED) | OTHERS))
def test_what_is_undefined_is_nan_and_nothing_warns(name, recwarn):
    metric = make(name, 3)
    if metric.tasks == NUMBERS:
        one = Scores(np.zeros((1, 2)), np.zeros((1, 2)))
    else:
        one = Scores(np.array([1]), np.array([1]), np.array([[0.2, 0.5, 0.3]]))
    result = metric.compute(one)
    assert all(isinstance(value, float) for value in result)
    if name in ("auc", "average_precision", "spearman"):
        assert math.isnan(result[0])
    assert not recwarn.list


def test_directions():
    for name in NAMES:
        metric = make(name, 3, **({"k": 1} if name == "top_k" else {}))
        better, worse = (labels(5, 300, 3), Scores(*wrong(labels(5, 300, 3))))
        if metric.tasks == NUMBERS:
            better, worse = values(5, 300, 2), Scores(values(5, 300, 2).targets, values(6, 300, 2).predicted)
        difference = metric.compute(better)[0] - metric.compute(worse)[0]
        assert (difference > 0) == metric_names.maximize(f"val/{metric.names[0]}"), name


def wrong(scores):
    """Return the same scores with the probabilities of each row moved to the next class."""
    chances = np.roll(scores.chances, 1, axis=1)
    return scores.targets, chances.argmax(1), chances
