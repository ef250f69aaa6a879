"""Numbers and names leave a run as they came: predictions in the targets' own digits, and what evaluate says of them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from tests.finished import test_open as test_loading
from tests.finished.test_open import Say
from trainctl.data import centre
from trainctl.errors import Interrupted
from trainctl.finished.predictor import shortest
from trainctl.settings import compose
from trainctl.store import restore
from trainctl.train import session

say = test_loading.say
START = 1_700_000_000.5  # a time stamp [s]
QUICK = ("model=mlp", "model.hidden=[8]", "loop.batch_size=40", "output.plots=false", "optimizer.lr=0.02")


def write(path: Path, classes: bool = False) -> None:
    random = np.random.default_rng(0)
    distance = random.uniform(0, 100, 120).round(2)
    arrival = START + 30 * distance + random.normal(0, 5, 120).round(2)
    labels = np.array(["=x", "-", "+1", "@home"])[(distance // 25).astype(int)]
    target = labels if classes else map(repr, arrival.tolist())
    rows = zip((2459000.25 + distance).tolist(), distance.tolist(), target, strict=True)
    path.write_text("julian,distance,y\n" + "".join(f"{j!r},{d!r},{y}\n" for j, d, y in rows))


def words(path: Path, *more: str) -> list[str]:
    return ["dataset=csv", f"dataset.path={path}", "dataset.target=y", *QUICK, *more]


def table(text: str) -> dict[str, list[str]]:
    rows = list(csv.reader(text.splitlines()))
    return {name: [row[index] for row in rows[1:]] for index, name in enumerate(rows[0])}


def test_a_target_far_from_zero_is_learned_measured_and_predicted_with_all_its_digits(tmp_path: Path, say: Say) -> None:
    write(tmp_path / "t.csv")
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        session.begin(
            compose.compose(words(tmp_path / "t.csv", "loss=mse", "loop.epochs=40", "loop.stop_at_step=50")), [], run
        )
    session.resume(compose.compose(words(tmp_path / "t.csv", "loss=mse", "loop.epochs=40")), [], run)
    session.begin(compose.compose(words(tmp_path / "t.csv", "loss=mse", "loop.epochs=40")), [], tmp_path / "whole")
    one, other = (restore.newest(path).tensors("last") for path in (run, tmp_path / "whole"))
    assert all(torch.equal(value, other[key]) for key, value in one.items())

    code, out, _ = say("evaluate", run, "split=all", "format=json")
    assert code == 0
    measured = json.loads(out)["metrics"]
    code, out, _ = say("predict", run, tmp_path / "t.csv")
    predicted = np.array(table(out)["y"], float)
    truth = np.array(table((tmp_path / "t.csv").read_text())["y"], float)
    assert measured["all/mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-5)
    assert measured["all/rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-5)
    assert measured["all/r2"] == pytest.approx(r2_score(truth, predicted), abs=1e-5)
    assert 3 < measured["all/mae"] < 200  # the noise has a mean of 4 s; float32 is off by up to 64 s
    assert measured["all/r2"] > 0.9
    for command in (("verify",), ("reproduce", f"output={tmp_path / 'again'}")):
        code, out, err = say(command[0], run, *command[1:])
        assert code == 0, out + err
    # Numbers that no centre of the run keeps apart are named.
    far = [f"{1e12 + row!r},{row},{START!r}" for row in range(9)]
    (tmp_path / "far.csv").write_text("\n".join(["julian,distance,y", *far]) + "\n")
    for command in (
        ("predict", tmp_path / "far.csv"),
        ("evaluate", f"dataset.path={tmp_path / 'far.csv'}", "split=all"),
    ):
        code, _, err = say(command[0], run, *command[1:])
        assert code == 0
        assert "trainctl: note: column julian: 9 distinct numbers become 1 in float32" in err
    # Another file has the same centre, wherever its own middle is.
    lines = (tmp_path / "t.csv").read_text().splitlines()
    (tmp_path / "few.csv").write_text("\n".join([lines[0], *lines[5:8]]) + "\n")
    code, out, _ = say("predict", run, tmp_path / "few.csv")
    np.testing.assert_allclose(np.array(table(out)["y"], float), predicted[4:7], rtol=0, atol=1e-3)


def test_a_run_of_an_earlier_version_has_no_centre_and_stays_as_it_was(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "t.csv")
    run = tmp_path / "run"
    settings = words(tmp_path / "t.csv", "loss=mse", "loop.epochs=4")
    with monkeypatch.context() as earlier:
        earlier.setattr(centre, "centre_of", lambda values: 0.0)
        summary = session.begin(compose.compose(settings), [], run)
    assert "centre" not in max((run / "checkpoints").glob("*.json")).read_text()
    code, out, _ = say("evaluate", run, "format=json")
    assert code == 0
    assert json.loads(out)["metrics"] == {key: summary["metrics"][key] for key in json.loads(out)["metrics"]}
    for command in (
        ("predict", tmp_path / "t.csv"), ("verify",), ("reproduce", f"output={tmp_path / 'again'}"), ("resume", "loop.epochs=6")
    ):  # fmt: skip
        code, out, err = say(command[0], run, *command[1:])
        assert code == 0, out + err


def test_a_class_is_predicted_by_the_name_that_it_has_in_the_data(tmp_path: Path, say: Say) -> None:
    write(tmp_path / "t.csv", classes=True)
    session.begin(compose.compose(words(tmp_path / "t.csv", "loop.epochs=30")), [], tmp_path / "run")
    code, out, _ = say("predict", tmp_path / "run", tmp_path / "t.csv")
    found, truth = table(out), table((tmp_path / "t.csv").read_text())["y"]
    assert [*found] == ["row", "prediction", "p_+1", "p_-", "p_=x", "p_@home"]
    accuracy = np.mean([a == b for a, b in zip(found["prediction"], truth, strict=True)])
    code, out, _ = say("evaluate", tmp_path / "run", "split=all", "format=json")
    assert json.loads(out)["metrics"]["all/accuracy"] == pytest.approx(accuracy) != 0
    assert {*found["prediction"]} <= {*truth}
    code, out, _ = say("predict", tmp_path / "run", tmp_path / "t.csv", "spreadsheet=true")
    assert {*table(out)["prediction"]} <= {f"'{name}" for name in truth} | {"+1"}
    code, _, err = say("predict", tmp_path / "run", tmp_path / "t.csv", "spreadsheet=perhaps")
    assert code == 2
    assert "spreadsheet=perhaps" in err


def test_several_targets_have_metrics_of_their_own(tmp_path: Path, say: Say) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(100, 2))
    targets = np.stack([1e6 + inputs[:, 0], 5 + 100 * inputs[:, 1] ** 2], 1)
    np.savez(tmp_path / "t.npz", inputs=inputs, targets=targets)
    settings = ["dataset=arrays", f"dataset.path={tmp_path / 't.npz'}", "loss=mse", "loop.epochs=5", *QUICK]
    session.begin(compose.compose(settings), [], tmp_path / "run")
    _, out, _ = say("evaluate", tmp_path / "run", "split=all", "format=json")
    measured = json.loads(out)
    np.save(tmp_path / "x.npy", inputs)
    _, out, _ = say("predict", tmp_path / "run", tmp_path / "x.npy")
    columns = table(out)
    predicted = np.array([columns["target_0"], columns["target_1"]], float).T
    for key, metric in (("mae", mean_absolute_error), ("rmse", root_mean_squared_error), ("r2", r2_score)):
        each = metric(targets, predicted, multioutput="raw_values")
        assert [one[key] for one in measured["targets"]] == pytest.approx(each.tolist(), rel=1e-4, abs=1e-4)
        assert measured["metrics"][f"all/{key}"] == pytest.approx(each.mean(), rel=1e-4, abs=1e-4)
    _, out, _ = say("evaluate", tmp_path / "run", "split=all")
    assert [line.split()[0] for line in out.splitlines() if line.startswith("target_")] == ["target_0", "target_1"]


def test_one_row_has_no_r2_and_says_so(tmp_path: Path, say: Say) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{row},{row / 8}\n" for row in range(9)))
    settings = words(tmp_path / "t.csv", "loss=mse", "loop.epochs=2", "dataset.task=regression")
    session.begin(compose.compose(settings), [], tmp_path / "run")
    assert "val has only one row: R2 needs two, so val/r2 is undefined" in (tmp_path / "run" / "log.txt").read_text()
    code, out, _ = say("evaluate", tmp_path / "run", "format=json")
    assert json.loads(out, parse_constant=pytest.fail)["metrics"]["test/r2"] is None
    code, out, _ = say("evaluate", tmp_path / "run")
    assert "undefined" in out
    code, out, err = say(*settings, "monitor=val/r2", f"output.root={tmp_path / 'runs'}")
    assert code == 2
    assert "monitor=val/r2: R2 is undefined for one row" in err


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_written_as_the_shortest_text_that_gives_them_back(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    values = torch.randn(300, 2, generator=random, dtype=dtype) * torch.logspace(-30, 30, 300, dtype=dtype)[:, None]
    cells = [*shortest(values)]
    back = torch.tensor([[float(cell) for cell in row] for row in cells], dtype=torch.float64).to(dtype)
    assert torch.equal(back, values)
    assert [*shortest(torch.tensor([[0.1, 12345.5, -2.5]], dtype=dtype))] == [["0.1", "12345.5", "-2.5"]]
