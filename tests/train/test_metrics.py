"""Metrics of the group `metric` in a run: recorded, monitored, refused, computed over a whole split."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.train.test_exact import settings
from trainctl import cli
from trainctl.errors import ConfigError
from trainctl.finished import open as opening
from trainctl.finished.evaluate import evaluate
from trainctl.store import finding, records, rundir
from trainctl.train import session

ALL = "metric=[f1,auc,top_k,log_loss,brier,calibration_error,kappa,matthews,balanced_accuracy,average_precision]"


def test_they_are_in_every_record_and_can_be_monitored(tmp_path: Path) -> None:
    config = settings(ALL, "metric.top_k.k=2", "monitor=val/f1", "early_stopping=patience", "schedule=plateau")
    session.begin(config, [], tmp_path / "run")
    rows = rundir.read_metrics(tmp_path / "run")
    evaluated = [row for row in rows if "lr" in row]
    assert {"val/f1", "val/auc", "val/top_2", "val/brier"} <= set(evaluated[0])
    summary = records.read_summary(tmp_path / "run")
    assert summary.best
    assert summary.best.value == max(row["val/f1"] for row in evaluated)
    assert 0 <= summary.metrics["test/auc"] <= 1
    run = opening.open(tmp_path / "run", [], [], [])
    assert evaluate(run, "test", "best").metrics["test/f1"] == summary.metrics["test/f1"]


def test_a_batch_of_evaluation_changes_no_metric(tmp_path: Path) -> None:
    for size in (7, 1000):
        session.begin(settings(ALL, f"loop.eval_batch_size={size}"), [], tmp_path / str(size))
    one, other = (records.read_summary(tmp_path / name).metrics for name in ("7", "1000"))
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-6), name


def test_regressions_are_measured_in_units(tmp_path: Path) -> None:
    words = ("dataset=diabetes", "loss=mse", "metric=[mape,median_error,spearman]")
    session.begin(settings(*words), [], tmp_path / "run")
    metrics = records.read_summary(tmp_path / "run").metrics
    assert 10 < metrics["val/median_error"] < 500  # of a disease score between 25 and 346
    assert -1 <= metrics["val/spearman"] <= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metric=[mape]"], "metric=mape is for regression and reconstruction"),
        (["dataset=diabetes", "loss=mse", "metric=[f1]"], "metric=f1 is for classification"),
        (["monitor=val/f1"], r"monitor=val/f1: this run does not measure it; use metric=\[f1\]$"),
        (["monitor=val/auc", "metric=[f1,kappa]"], r"does not measure it; use metric=\[f1,kappa,auc\]$"),
        (["monitor=val/top_3"], r"does not measure it; use metric=\[top_k\] metric.top_k.k=3$"),
        (["monitor=val/top_3", "metric=[top_k]"], r"does not measure it; use metric=\[top_k\] metric.top_k.k=3$"),
        (["monitor=val/f2"], "choose from: val/loss, val/accuracy"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session.begin(settings(*words), [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_metric_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    (tmp_path / "ours" / "metric").mkdir(parents=True)
    (tmp_path / "ours" / "metric" / "sureness.py").write_text(
        "from trainctl.components.metric.base import LABELS, Metric, single\n\n\n"
        "def sureness(*, maximize: bool) -> Metric:\n"
        '    """Report the mean probability of the predicted class."""\n'
        "    return single('sureness', lambda scores: scores.chances.max(1).mean(), LABELS)\n"
    )
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "conf" / "metric" / "sureness.yaml").write_text(
        "# @package metric.sureness\nname: sureness\nmaximize: true\n"
    )
    words = ["dataset=iris", "loop.epochs=2", "output.plots=false", "metric=[sureness]", "monitor=val/sureness"]
    monkeypatch.setattr("sys.argv", ["trainctl", *words, "components=[ours]"])
    monkeypatch.chdir(tmp_path)
    assert cli.main() == 0
    assert "best      val/sureness" in capsys.readouterr().out
    run = finding.find("last", Path("runs"))
    values = [row["val/sureness"] for row in rundir.read_metrics(run) if "lr" in row]
    best = records.read_summary(run).best
    assert best
    assert best.value == max(values) > min(values)


def test_evaluate_takes_other_metrics(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    session.begin(settings(), [], tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["trainctl", "evaluate", "run", "metric=[f1,auc]", f"root={tmp_path}"])
    assert cli.main() == 0
    out = capsys.readouterr().out
    assert "test/f1" in out
    assert "test/auc" in out


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["[f1]", "[auc]"])
def test_libraries_that_are_imported_for_a_metric_leave_the_random_states_as_they_are(
    tmp_path: Path, metric: str
) -> None:
    """Both import rich, which draws from Python's generator: a run on a terminal has imported it before."""
    words = ["dataset=iris", "loop.max_steps=2", f"metric={metric}", "output.plots=false", "threads=1", "device=cpu"]
    states = []
    for place, before in enumerate(("", "import rich.console, sklearn.metrics; ")):
        root = tmp_path / str(place)
        script = f"import sys; {before}from trainctl import cli; sys.exit(cli.main())"
        typed = [sys.executable, "-c", script, *words, f"output.root={root}"]
        subprocess.run(typed, check=True, capture_output=True, cwd=tmp_path, timeout=300)
        (found,) = root.glob("*/checkpoints/last-00000002.safetensors")
        states.append({name: tensor for name, tensor in load_file(found).items() if "random" in name})
    assert any("python" in name for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
