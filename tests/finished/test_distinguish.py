"""Which differences between runs are more than chance, against reference values."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from trainctl.finished import distinguish
from trainctl.finished.report import classes


def test_intervals_that_are_far_apart_distinguish():
    metrics = {"a": {"test/rmse": 1.0}, "b": {"test/rmse": 2.0}, "c": {"test/rmse": 1.05}, "d": {"val/rmse": 9.0}}
    intervals = {
        run: {"test/rmse": [metrics[run]["test/rmse"] - 0.1, metrics[run]["test/rmse"] + 0.1]} for run in "abc"
    }
    found = {verdict.other: verdict for verdict in distinguish.by_intervals(metrics, intervals)}
    assert {other: verdict.distinguishable for other, verdict in found.items()} == {"b": True, "c": False}
    assert {verdict.best for verdict in found.values()} == {"a"}  # smaller is better
    z = 0.05 / np.hypot(0.1, 0.1) * distinguish.HALF_WIDTH
    assert found["c"].p == pytest.approx(2 * stats.norm.sf(z))
    assert "a is better than b" in found["b"].sentence
    assert "cannot be distinguished" in found["c"].sentence


def test_a_run_alone_or_without_intervals_has_no_verdict():
    assert distinguish.by_intervals({"a": {"test/mae": 1.0}}, {"a": {"test/mae": [0.9, 1.1]}}) == []
    assert distinguish.by_intervals({"a": {"x/y": 1.0}, "b": {"x/y": 2.0}}, {"a": {}, "b": {}}) == []


@pytest.mark.parametrize(("first", "second"), [(0, 6), (3, 9), (5, 5), (1, 40), (0, 0)])
def test_models_on_the_same_rows_are_compared_exactly(first, second):
    one = np.array([True] * first + [False] * second + [True] * 7)
    other = np.array([False] * first + [True] * second + [True] * 7)
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert distinguish.mcnemar(one, other) == pytest.approx(expected)


def test_errors_on_the_same_rows_are_compared_in_pairs():
    generator = np.random.default_rng(0)
    losses = {"a": generator.random(50), "b": generator.random(50) + 0.3}
    (verdict,) = distinguish.by_rows("test/mae", losses)
    assert verdict.p == pytest.approx(stats.ttest_rel(losses["b"], losses["a"]).pvalue)
    assert (verdict.best, verdict.other, verdict.distinguishable) == ("a", "b", True)
    assert distinguish.by_rows("test/mae", {"a": np.ones(5), "b": np.ones(5)})[0].p == 1.0


def test_what_is_right_is_shown_as_accuracy():
    (verdict,) = distinguish.by_rows("test/accuracy", {"a": np.array([1.0, 0, 0, 0]), "b": np.zeros(4)})
    assert (verdict.best, verdict.values) == ("b", (1.0, 0.75))


@pytest.mark.parametrize("ties", [False, True])
def test_roc_and_average_precision_are_those_of_scikit_learn(ties):
    generator = np.random.default_rng(1)
    own, said = generator.random(200) < 0.3, generator.random(200)
    said = np.round(said, 1) if ties else said
    false, true, thresholds = classes.roc_curve(own, said)
    reference = roc_curve(own, said, drop_intermediate=False)
    for mine, theirs in zip((false, true, thresholds), reference, strict=True):
        np.testing.assert_allclose(mine, theirs)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(own, said))
    assert classes.average_precision(own, said) == pytest.approx(average_precision_score(own, said))
