"""The command trains: results, records, signals, sweeps, and what follows a run."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.schemas import schema
from tests.zygote import Process

Command = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Process]
QUICK = ("loop.epochs=2", "output.plots=false")


def only_run(folder: Path) -> Path:
    runs = [path for path in (folder / "runs").iterdir() if path.is_dir()]
    assert len(runs) == 1
    return runs[0]


def load(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.slow
def test_the_default_run_reads_digits_well_and_keeps_its_records(command: Command, tmp_path: Path) -> None:
    done = command(fresh=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    run = only_run(tmp_path)
    summary = load(run / "summary.json")
    assert summary["outcome"] == "finished"
    assert summary["metrics"]["val/accuracy"] >= 0.97
    assert summary["metrics"]["test/accuracy"] >= 0.97
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows[:-1]] == [40 * epoch for epoch in range(1, 31)]
    assert rows[-1]["test/accuracy"] == summary["metrics"]["test/accuracy"]
    assert {path.name for path in (run / "plots").iterdir()} == {
        "accuracy.png",
        "confusion.png",
        "batch.png",
        "loss.png",
    }
    assert {path.name for path in run.iterdir()} == {
        "checkpoints", "config.yaml", "log.txt", "metrics.jsonl", "overrides.yaml", "plots", "run.json", "summary.json",
    }  # fmt: skip
    assert str(run.name) in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "metric", "least"),
    [
        (("model=cnn", "loop.epochs=4"), "test/accuracy", 0.9),
        (("model=rnn", "loop.epochs=6"), "test/accuracy", 0.85),
        (("model=autoencoder", "loop.epochs=8"), "test/r2", 0.8),
        (("dataset=iris",), "test/accuracy", 0.85),
        (("dataset=wine",), "test/accuracy", 0.9),
        (("dataset=breast_cancer",), "test/accuracy", 0.9),
        (("dataset=diabetes", "model.dropout=0.5"), "test/r2", 0.2),
        (("loop.batch_size=full", "loop.epochs=40", "optimizer.lr=0.01"), "test/accuracy", 0.9),
        (("dataset=iris", "loop.batch_size=1", "loop.epochs=4"), "test/accuracy", 0.85),
        (("precision=bf16", "loop.epochs=6"), "test/accuracy", 0.9),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_the_catalogue_offers_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], metric: str, least: float
) -> None:
    from trainctl.settings import compose
    from trainctl.train import session

    summary = session.begin(compose.compose([*overrides, "output.plots=false"]), overrides)

    assert summary["metrics"][metric] >= least
    assert all(name.count("/") == 1 for name in summary["metrics"])


def wait_for_epoch(process: Process) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.startswith("epoch"):
            return
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize(
    ("number", "code", "outcome"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_saves_and_says_how_to_go_on(
    command: Command, start: Start, tmp_path: Path, number: int, code: int, outcome: str
) -> None:
    process = start("loop.epochs=100000", "output.plots=false")
    wait_for_epoch(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert process.returncode == code
    run = only_run(tmp_path)
    assert f"resume with: trainctl resume runs/{run.name}" in err
    summary = load(run / "summary.json")
    assert summary["outcome"] == outcome
    assert summary["steps"] > 0

    budget = summary["steps"] + 5
    resumed = command("resume", f"runs/{run.name}", f"loop.max_steps={budget}", "loop.epochs=null")
    assert resumed.returncode == 0, resumed.stderr
    assert load(run / "summary.json")["steps"] == budget


def test_a_reader_that_goes_away_does_not_end_the_training(start: Start, tmp_path: Path) -> None:
    process = start("loop.epochs=12", "output.plots=false")
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    process.communicate(timeout=60)

    run = only_run(tmp_path)
    assert load(run / "summary.json")["outcome"] == "finished"
    assert (run / "log.txt").read_text().count("epoch ") >= 12


def test_a_loss_that_is_not_finite_stops_with_its_own_exit_code(command: Command, tmp_path: Path) -> None:
    done = command("dataset=diabetes", "scale=none", "optimizer=sgd", "optimizer.lr=1e6", "model.norm=none", *QUICK)

    assert done.returncode == 6
    assert "trainctl: the loss is" in done.stderr
    assert "Traceback" not in done.stderr
    assert load(only_run(tmp_path) / "summary.json")["outcome"] == "failed"


def test_a_sweep_trains_every_point_and_survives_a_failing_one(command: Command, tmp_path: Path) -> None:
    # A rate of 1e30 makes the loss infinite; it is a valid number all the same.
    done = command(
        "-m", "optimizer.lr=0.01,1e30", "seed=0,1", "optimizer=sgd", "dataset=iris", "model.norm=none", *QUICK
    )

    assert done.returncode == 8
    assert "2 of 4 trials failed" in done.stderr
    sweep = only_run(tmp_path)
    rows = list(csv.DictReader(io.StringIO((sweep / "results.csv").read_text())))
    assert [row["status"] for row in rows] == ["finished", "finished", "failed", "failed"]
    assert [(row["optimizer.lr"], row["seed"]) for row in rows] == [
        ("0.01", "0"),
        ("0.01", "1"),
        ("1e+30", "0"),
        ("1e+30", "1"),
    ]
    assert all((sweep / row["directory"] / "config.yaml").is_file() for row in rows)
    assert float(rows[0]["test/accuracy"]) <= 1
    assert "2 points, 4 trials, by val/loss" in done.stdout
    assert "2 trials failed:" in done.stdout
    assert "2 x the loss is" in done.stdout


def test_one_bad_point_keeps_a_whole_sweep_from_starting(command: Command, tmp_path: Path) -> None:
    done = command("-m", "optimizer.lr=0.1,0", "seed=0,1")

    assert done.returncode == 2
    assert not (tmp_path / "runs").exists()


def test_a_budget_by_the_clock_ends_the_schedule_too(tmp_path: Path) -> None:
    from trainctl.settings import compose
    from trainctl.store import rundir
    from trainctl.train import session

    wanted = compose.compose(["loop.max_time=1s", "loop.epochs=100000", "schedule=cosine", "output.plots=false"])
    before = time.monotonic()
    summary = session.begin(wanted, [])

    assert 0.9 < time.monotonic() - before < 6
    assert summary["reason"] == "reached loop.max_time=1s"
    (run,) = (path for path in Path("runs").iterdir() if path.is_dir())
    rates = [row["lr"] for row in rundir.read_metrics(run) if "lr" in row]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02 * rates[0]


def test_evaluate_repeats_what_training_said(command: Command, tmp_path: Path) -> None:
    command("dataset=wine", *QUICK)
    run = only_run(tmp_path)
    trained = load(run / "summary.json")["metrics"]

    for split in ("val", "test"):
        done = command("evaluate", run.name, f"split={split}", "format=json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["metrics"] == {name: value for name, value in trained.items() if name.startswith(f"{split}/")}
    assert {row["class"] for row in found["classes"]} == {"class_0", "class_1", "class_2"}


def test_evaluate_refuses_data_of_another_shape(command: Command, tmp_path: Path) -> None:
    command("dataset=wine", *QUICK)

    done = command("evaluate", only_run(tmp_path).name, "dataset=iris")

    assert done.returncode == 3
    assert "row shape is (4,), but the run was trained with (13,)" in done.stderr


def test_predict_reads_columns_by_name_and_says_probabilities(command: Command, tmp_path: Path) -> None:
    command("dataset=iris", *QUICK)
    run = only_run(tmp_path).name
    (tmp_path / "flowers.csv").write_text(
        "petal_width,petal_length,sepal_width,sepal_length,colour\n0.2,1.4,3.5,5.1,blue\n2.3,5.2,3.0,6.7,white\n"
    )

    done = command("predict", run, "flowers.csv")

    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["prediction"] for row in rows] == ["setosa", "virginica"]
    assert sum(float(rows[0][f"p_{name}"]) for name in ("setosa", "versicolor", "virginica")) == pytest.approx(
        1, abs=1e-4
    )


def test_predict_takes_images_and_arrays_alike(command: Command, tmp_path: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    command("model=cnn", "loop.epochs=6", "output.plots=false")
    run = only_run(tmp_path).name
    pixels = np.rint(load_digits().images[:5] * (255 / 16)).astype(np.uint8)
    np.savez(tmp_path / "some.npz", inputs=pixels)
    Image.fromarray(pixels[3]).save(tmp_path / "three.png")

    many = command("predict", run, "some.npz", "output=out.csv")
    one = command("predict", run, "three.png")

    assert (many.returncode, one.returncode) == (0, 0), many.stderr + one.stderr
    rows = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row[1] for row in rows[1:]] == ["0", "1", "2", "3", "4"]
    assert one.stdout.splitlines()[1].split(",")[1] == "3"


def test_predict_returns_a_regression_in_its_units(command: Command, tmp_path: Path) -> None:
    from sklearn.datasets import load_diabetes

    command("dataset=diabetes", "loop.epochs=20", "output.plots=false")
    table, target = load_diabetes(scaled=False, return_X_y=True)
    np.save(tmp_path / "patients.npy", table[:100])

    done = command("predict", only_run(tmp_path).name, "patients.npy")

    predicted = [float(row["progression"]) for row in csv.DictReader(io.StringIO(done.stdout))]
    assert np.corrcoef(predicted, target[:100])[0, 1] > 0.5
    assert abs(np.mean(predicted) - np.mean(target[:100])) < 30


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"sepal_length,sepal_width,petal_length\n1,2,3\n", "column petal_width is missing"),
        (
            "b.csv",
            b"sepal_length,sepal_width,petal_length,petal_width\n1,2,3\n",
            "line 2: has 3 cells, but the header has 4",
        ),
        (
            "c.csv",
            b"sepal_length,sepal_width,petal_length,petal_width\n1,2,x,4\n",
            "line 2, column petal_length: 'x' is not a number",
        ),
        (
            "d.csv",
            b"sepal_length,sepal_width,petal_length,petal_width\n1,2,,4\n",
            "row 0, column petal_length has a missing value",
        ),
        ("e.csv", b"\xff\xfe\x00", "cannot be read as CSV"),
        ("f.npz", b"PK\x03\x04 no zip", "f.npz: "),
        ("g.png", b"no image", "is an image; this run takes rows of shape (4,)"),
        ("h.pdf", b"1 2 3 4", "expected an image, a .csv, an .npz or an .npy"),
        (
            "i.csv",
            b"sepal_length,sepal_width,petal_length,petal_width\n1,2,1e400,4\n",
            "line 2, column petal_length: '1e400' exceeds the largest number",
        ),
    ],
)
def test_predict_says_what_is_wrong_with_an_input(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    from trainctl.errors import DataError
    from trainctl.finished import source

    (tmp_path / name).write_bytes(content)
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    trained = schema(input_shape=(4,), input_names=names)

    with pytest.raises(DataError) as caught:
        source.without_gaps(read(tmp_path / name, trained), tmp_path / name, trained)
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_components_of_a_users_own_are_found_and_never_loaded_by_a_run(command: Command, tmp_path: Path) -> None:
    package = tmp_path / "mine" / "schedule"
    package.mkdir(parents=True)
    (package / "halving.py").write_text(
        'def halving(*, every: int):\n    """Halve the rate every few steps."""\n'
        "    return lambda step: 0.5 ** (step // every)\n"
    )
    (tmp_path / "conf" / "schedule").mkdir(parents=True)
    (tmp_path / "conf" / "schedule" / "halving.yaml").write_text("name: halving\nevery: 100\n")

    done = command("components=[mine]", "schedule=halving", "schedule.every=40", "dataset=wine", *QUICK)
    run = only_run(tmp_path).name
    refused = command("evaluate", run)
    allowed = command("evaluate", run, "components=[mine]")

    assert done.returncode == 0, done.stderr
    assert refused.returncode == 2
    assert "add components=[mine]" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr


def test_a_budget_by_the_clock_alone_trains_until_then(command: Command, tmp_path: Path) -> None:
    done = command("loop.max_time=1s", "dataset=iris", "loop.batch_size=full", "schedule=cosine", "output.plots=false")

    assert done.returncode == 0, done.stderr
    summary = load(only_run(tmp_path) / "summary.json")
    assert summary["reason"] == "reached loop.max_time=1s"
    assert summary["epochs"] > 30  # the default budget
    assert "/100" not in done.stdout


def test_a_signal_that_the_shell_ignores_stays_ignored(start: Start, tmp_path: Path) -> None:
    process = start("loop.max_steps=800", "output.plots=false", ignored=[signal.SIGHUP])
    wait_for_epoch(process)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert load(only_run(tmp_path) / "summary.json")["outcome"] == "finished"


@pytest.mark.parametrize(("redirect", "code"), [(">&-", 0), (">/dev/full", 5)])
def test_output_that_cannot_be_written_is_no_bug_of_ours(tmp_path: Path, redirect: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m trainctl list {redirect}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "Traceback" in done.stderr) == (code, False)


@pytest.mark.slow
def test_training_goes_on_without_a_standard_output(tmp_path: Path) -> None:
    run = f"{sys.executable} -m trainctl dataset=wine loop.epochs=2 output.plots=false >&-"
    done = subprocess.run(["sh", "-c", run], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert load(only_run(tmp_path) / "summary.json")["outcome"] == "finished"


def test_a_run_goes_on_with_its_data_at_another_place_and_evaluates_with_one_payload_damaged(
    command: Command, tmp_path: Path
) -> None:
    from tests.store.test_checkpoint import write_idx

    write_idx(tmp_path / "here")
    words = ("dataset=mnist", "dataset.download=false", "loop.batch_size=16", "loop.epochs=1", "output.plots=false")
    command(*words, "dataset.root=here", "loop.stop_at_step=2")
    run = only_run(tmp_path).name
    (tmp_path / "here").rename(tmp_path / "there")

    moved = command("resume", run, "dataset.root=there")
    assert moved.returncode == 0, moved.stderr

    for payload in (tmp_path / "runs" / run / "checkpoints").glob("last-*"):
        payload.write_bytes(b"")
    done = command("evaluate", run)
    assert done.returncode == 0, done.stderr
    dealt_anew = command("evaluate", run, "split.seed=1")
    assert dealt_anew.returncode == 2
    assert "split.seed=1: cannot change in an existing run" in dealt_anew.stderr


def read(path: Path, trained: Any) -> Any:
    """Read the rows of a file for a run with that schema."""
    from trainctl.finished import source

    dataset = {"name": "csv" if len(trained.input_shape) == 1 else "arrays"}
    run = SimpleNamespace(schema=trained, config=SimpleNamespace(parts={"dataset": dataset}), overrides=[])
    return source.read_rows(run, path).rows


def test_pixels_between_0_and_1_are_not_taken_for_bytes(tmp_path: Path) -> None:
    from trainctl.errors import DataError

    np.save(tmp_path / "a.npy", np.full((1, 8, 8), 0.5))
    with pytest.raises(DataError, match="multiply them by 255"):
        read(tmp_path / "a.npy", schema(input_shape=(1, 8, 8)))
    np.save(tmp_path / "b.npy", np.full((8, 8), 128))
    assert read(tmp_path / "b.npy", schema(input_shape=(1, 8, 8))).shape == (1, 1, 8, 8)
