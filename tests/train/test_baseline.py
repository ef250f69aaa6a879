"""What a trivial model reaches, and how uncertain the metrics of a test split are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from tests.train.test_exact import settings
from trainctl.components.metric.auc import auc
from trainctl.components.metric.base import Metric, Scores
from trainctl.components.metric.f1 import f1
from trainctl.run import assemble
from trainctl.train import baseline, resampled, session
from trainctl.train.evaluation import evaluate


def test_of_classes_it_is_the_frequencies() -> None:
    evaluation = assemble.assemble(settings()).evaluation
    plain = baseline.trivial(evaluation, "test")
    whole = evaluation.data.splits["train"].sample(10**6)[1]
    frequencies = torch.bincount(whole, minlength=3) / len(whole)
    rows = evaluation.data.splits["test"].sample(10**6)[1]
    assert plain.metrics["test/loss"] == pytest.approx(float(-frequencies[rows].log().mean()))
    assert plain.metrics["test/accuracy"] == pytest.approx(float((rows == frequencies.argmax()).double().mean()))
    assert plain.what.startswith("always predicting class ")


def test_of_numbers_it_is_the_mean_so_r2_is_about_0() -> None:
    evaluation = assemble.assemble(settings("dataset=diabetes", "loss=mse")).evaluation
    plain = baseline.trivial(evaluation, "train")
    assert plain.metrics["train/r2"] == pytest.approx(0, abs=1e-6)
    auto = assemble.assemble(settings("dataset=digits", "model=autoencoder", "loss=mse")).evaluation
    assert baseline.trivial(auto, "train").metrics["train/r2"] <= 0.9


@pytest.mark.parametrize(("period", "horizon"), [(1, 1), (4, 1), (4, 6)])
def test_of_a_series_it_repeats_the_period_that_fits_best(tmp_path: Path, period: int, horizon: int) -> None:
    steps = np.arange(200)
    values = 1e6 + (
        10 * np.sin(2 * np.pi * steps / period) if period > 1 else np.cumsum(np.random.default_rng(3).normal(size=200))
    )
    values = values + np.random.default_rng(0).normal(size=200) * 0.01
    (tmp_path / "s.csv").write_text("y\n" + "\n".join(f"{value:.4f}" for value in values))
    words = ("dataset=series", f"dataset.path={tmp_path / 's.csv'}", "dataset.columns=[y]")
    words += ("dataset.window=8", f"dataset.horizon={horizon}")
    evaluation = assemble.assemble(settings(*words, "loss=mse", "scale=standard")).evaluation
    plain = baseline.trivial(evaluation, "test")
    named = "the last value" if period == 1 else "the value 4 rows before"
    assert plain.what == f"repeating {named}"
    tested = len(evaluation.data.splits["test"])
    errors = [
        values[200 - horizon - row - 1 + 1 - period + step % period] - values[200 - horizon - row + step]
        for row in range(tested)
        for step in range(horizon)
    ]
    assert plain.metrics["test/mae"] == pytest.approx(np.abs(errors).mean(), rel=0.02)


@pytest.mark.parametrize(("right", "rows"), [(0, 7), (7, 7), (3, 7), (180, 200)])
def test_the_interval_of_a_fraction_is_exact(right: int, rows: int) -> None:
    expected = binomtest(right, rows).proportion_ci(0.95, "exact")
    assert baseline.clopper_pearson(right, rows) == pytest.approx([expected.low, expected.high])


def test_the_bootstrap_covers_the_mean_about_95_times_of_100() -> None:
    generator = np.random.default_rng(1)
    inside = sum(
        low <= 1 <= high for low, high in (baseline.bootstrap(generator.exponential(size=80)) for _ in range(100))
    )
    assert 85 <= inside <= 99
    many = generator.exponential(size=6000)
    low, high = baseline.bootstrap(many)
    assert low < many.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / 6000**0.5, rel=0.1)


def test_a_run_that_learns_nothing_says_so(tmp_path: Path) -> None:
    session.begin(settings("optimizer=sgd", "optimizer.lr=1e-9", "loop.max_steps=1"), [], tmp_path / "bad")
    summary = json.loads((tmp_path / "bad" / "summary.json").read_text())
    assert summary["warning"].startswith("the model is no better than a trivial baseline: test/accuracy is ")
    assert "warning" in (tmp_path / "bad" / "log.txt").read_text()
    session.begin(settings("loop.epochs=20", "optimizer.lr=0.05"), [], tmp_path / "good")
    summary = json.loads((tmp_path / "good" / "summary.json").read_text())
    assert "warning" not in summary
    low, high = summary["intervals"]["test/accuracy"]
    assert low < summary["metrics"]["test/accuracy"] <= high
    assert set(summary["trivial"]["metrics"]) == {"test/loss", "test/accuracy"}


def test_the_evaluated_model_is_not_changed() -> None:
    evaluation = assemble.assemble(settings()).evaluation
    before = evaluate(evaluation, "val")
    baseline.trivial(evaluation, "val")
    assert evaluate(evaluation, "val") == before


def test_a_model_that_may_be_no_better_says_so() -> None:
    plain = baseline.Trivial("always predicting class a", {"test/accuracy": 0.5})
    metrics = {"test/accuracy": 0.6}
    said = baseline.no_better(metrics, plain, "classification", "test", {"test/accuracy": [0.45, 0.74]})
    assert said == (
        "the model may be no better than a trivial baseline: test/accuracy is 0.6, its 95 % interval is 0.45 to 0.74, and"
        " always predicting class a gives 0.5"
    )
    assert baseline.no_better(metrics, plain, "classification", "test", {"test/accuracy": [0.51, 0.7]}) == ""
    assert baseline.no_better(metrics, plain, "classification", "test", {}) == ""
    errors = baseline.Trivial("repeating the last value", {"val/rmse": 3.0})
    said = baseline.no_better({"val/rmse": 2.5}, errors, "regression", "val", {"val/rmse": [2.1, 3.2]})
    assert "may be no better" in said


def test_metrics_of_the_group_have_intervals_that_cover_other_rows() -> None:
    generator = np.random.default_rng(1)

    def drawn(rows: int) -> Scores:
        targets = generator.integers(0, 2, rows)
        logits = 1.5 * targets + generator.normal(size=rows)
        chances = 1 / (1 + np.exp(0.75 - logits))
        return Scores(targets, (chances > 0.5).astype(int), np.stack([1 - chances, chances], 1))

    metrics = [auc(), f1(averages=["macro"], class_names=("no", "yes"))]
    whole = drawn(200_000)
    true = dict(zip(("auc", "f1"), [number for metric in metrics for number in metric.compute(whole)], strict=True))
    covered = {"auc": 0, "f1": 0}
    for _ in range(40):
        for name, (low, high) in resampled.intervals(metrics, drawn(120)).items():
            assert 0 <= low < high <= 1
            covered[name] += low <= true[name] <= high
    assert min(covered.values()) >= 33  # 38 are expected
    width = {}
    for rows in (900, 1200):  # percentiles, and the normal distribution
        low, high = resampled.intervals(metrics[:1], drawn(rows))["auc"]
        width[rows] = (high - low) * rows**0.5
    assert width[1200] == pytest.approx(width[900], rel=0.4)


def test_a_metric_without_an_interval_stops_nothing() -> None:
    def fails(scores: Scores) -> list[float]:
        if len(set(scores.targets.tolist())) < 3:
            raise KeyError("a class is missing")
        return [1.0]

    scores = Scores(np.array([0, 1, 2]), np.array([0, 1, 2]), np.eye(3))
    constant = Metric(("same",), lambda _: [1.0], ("classification",))
    undefined = Metric(("nan",), lambda _: [float("nan")], ("classification",))
    assert resampled.intervals([constant, undefined, Metric(("own",), fails, ("classification",))], scores) == {}


def test_a_run_says_how_uncertain_its_own_metrics_are(tmp_path: Path) -> None:
    session.begin(settings("metric=[f1]", "loop.epochs=20", "optimizer.lr=0.05"), [], tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    low, high = summary["intervals"]["test/f1"]
    assert low <= summary["metrics"]["test/f1"] <= high
