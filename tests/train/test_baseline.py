"""What a trivial model reaches, and how uncertain the metrics of a test split are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from tests.train.test_exact import settings
from trainctl.run import assemble
from trainctl.train import baseline, session
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
