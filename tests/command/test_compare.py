"""Runs side by side: what differs in their settings, and whose results are best."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.sweep.test_record import end, opened, write
from trainctl.command import compare
from trainctl.errors import CheckpointError, ConfigError

HOME = Path(__file__).parents[2]


def make(directory, *, metrics=None, fingerprint="ab" * 16, **settings):
    directory.mkdir(parents=True)
    summary = {
        "outcome": "finished",
        "steps": 800,
        "epochs": 20.0,
        "seconds": 75.0,
        "parameters": 9610,
        "monitor": "val/loss",
    }
    (directory / "config.yaml").write_text(
        yaml.safe_dump({"seed": 0, "model": {"name": "mlp", "hidden": [128]}} | settings, sort_keys=False)
    )
    (directory / "run.json").write_text(json.dumps({"data": {"fingerprint": fingerprint}}))
    (directory / "summary.json").write_text(
        json.dumps(summary | {"metrics": {"val/loss": 0.5} if metrics is None else metrics})
    )
    return directory


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture
def compared(capsys):
    def run(*words):
        assert compare.main(words) == 0
        return capsys.readouterr().out

    return run


def rows(text):
    """Return the cells of each line by its first cell."""
    lines = [re.split(r"\s{2,}", line) for line in text.splitlines() if line]
    return {line[0]: line[1:] for line in lines}


def test_only_settings_that_differ_are_shown_in_their_order(root, compared):
    make(
        root / "a",
        seed=1,
        optimizer={"name": "adam", "lr": 0.1, "amsgrad": False},
        model={"name": "cnn", "hidden": [128]},
    )
    make(
        root / "b",
        seed=1,
        optimizer={"name": "adam", "lr": 1e-05, "amsgrad": True},
        model={"name": "cnn", "hidden": [64, 32]},
    )
    settings = compared("a", "b").partition("Results")[0]
    assert list(rows(settings).items()) == [
        ("Settings that differ", []),
        ("setting", ["a", "b"]),
        ("model.hidden", ["[128]", "[64,32]"]),
        ("optimizer.lr", ["0.1", "1e-05"]),
        ("optimizer.amsgrad", ["false", "true"]),
    ]


def test_a_setting_that_a_run_lacks_is_a_dash(root, compared):
    make(root / "a", schedule={"name": "none"})
    make(root / "b", schedule={"name": "step", "gamma": 0.1})
    make(root / "c", schedule={"name": "step", "gamma": None})
    assert rows(compared("a", "b", "c"))["schedule.gamma"] == ["-", "0.1", "null"]


def test_it_says_when_nothing_differs(root, compared):
    make(root / "a")
    make(root / "b")
    text = compared("a", "b")
    assert text.startswith("No settings differ.\n")
    assert rows(text)["val/loss"] == ["0.500000", "0.500000"]


def test_the_best_value_of_each_metric_is_marked(root, compared):
    make(
        root / "a", metrics={"val/loss": 0.5, "val/accuracy": 0.9, "test/r2": -0.5, "test/rmse": 3.0, "test/loss": 1.0}
    )
    make(root / "b", metrics={"val/loss": 0.4, "val/accuracy": 0.8, "test/r2": 0.5, "test/rmse": 2.0, "test/loss": 1.0})
    make(root / "c", metrics={"val/loss": float("nan"), "val/accuracy": 0.9, "test/rmse": None})
    found = rows(compared("c", "a", "b"))
    assert found["val/loss"] == ["nan", "0.500000", "0.400000 *"]
    assert found["val/accuracy"] == ["0.900000 *", "0.900000 *", "0.800000"]
    assert found["test/r2"] == ["-", "-0.500000", "0.500000 *"]
    assert found["test/rmse"] == ["nan", "3.000000", "2.000000 *"]
    assert found["test/loss"] == ["-", "1.000000", "1.000000"]


def test_values_that_differ_in_the_sixth_digit_can_be_told_apart(root, compared):
    make(root / "a", metrics={"val/loss": 0.123456})
    make(root / "b", metrics={"val/loss": 0.123457})
    assert rows(compared("a", "b"))["val/loss"] == ["0.123456 *", "0.123457"]


def test_outcome_steps_data_and_time_are_shown(root, compared):
    make(root / "a")
    make(root / "b")
    (root / "b/summary.json").unlink()
    (root / "b/metrics.jsonl").touch()
    found = rows(compared("a", "b"))
    assert found["outcome"] == ["finished", "unfinished"]
    assert found["steps"] == ["800", "-"]
    assert found["data"] == ["abababababab", "abababababab"]
    assert found["time"] == ["1 min 15 s", "-"]


def test_runs_of_different_data_are_pointed_out(root, compared):
    make(root / "a")
    make(root / "b", fingerprint="cd" * 16)
    make(root / "c", fingerprint=None)
    assert "different data" in compared("a", "b").splitlines()[-1]
    assert "*" not in compared("a", "b")  # there is no best of what cannot be compared
    assert "different data" not in compared("a", "c")  # nothing is known about the other


def test_runs_are_found_by_path_part_and_trial_name(root, compared, tmp_path):
    make(root / "20250101-120000-digits-aa")
    make(tmp_path / "elsewhere/run")
    make(root / "sweep/0-optimizer.lr=0.1")
    (root / "sweep/sweep.json").write_text("{}")
    header = rows(compared("0-optimizer.lr=0.1", "digits-aa", "elsewhere/run"))["result"]
    assert header == ["sweep/0-optimizer.lr=0.1", "20250101-120000-digits-aa", "elsewhere/run"]
    assert rows(compared("root=runs/sweep", "0-opt", "elsewhere/run"))["result"][0] == "0-optimizer.lr=0.1"


@pytest.mark.parametrize("words", [[], ["a"]])
def test_two_runs_are_needed(root, words):
    make(root / "a")
    with pytest.raises(ConfigError, match="at least two runs"):
        compare.main(words)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["a", "nope"], CheckpointError, "nope: no such run in runs"),
        (["a", "runs/a"], ConfigError, "runs/a: same run as runs/a, which is already in the list"),
        (["a", "b", "rot=x"], ConfigError, "rot=x: no such option; did you mean root?"),
        (["a", "broken"], CheckpointError, "runs/broken/config.yaml, line 2: not valid YAML"),
    ],
)
def test_wrong_words_are_errors_that_name_them(root, words, error, message):
    make(root / "a")
    make(root / "b")
    (make(root / "broken") / "config.yaml").write_text("{a: [")
    with pytest.raises(error, match=re.escape(message)):
        compare.main(words)


@pytest.fixture
def two_sweeps(root):
    """Write a sweep of two points with two seeds, and one of two points; return the root."""
    first = opened("optimizer.lr=0.1,0.2", "sweep.seeds=2", "sweep.name=first")
    write(first, end("0-seed0", 0.5), end("0-seed1", 0.7), end("1-seed0", 0.25), end("1-seed1", 0.5))
    write(first, {"event": "over", "trials": 4})
    second = opened("optimizer.lr=0.3,0.4", "sweep.name=second")
    write(second, end("0", 0.4), end("1", None, "failed"))
    make(root / "first/1-optimizer.lr=0.2,seed=0", optimizer={"name": "adam", "lr": 0.2}, metrics={"val/loss": 0.3})
    make(root / "second/0-optimizer.lr=0.3", optimizer={"name": "adam", "lr": 0.3}, metrics={"val/loss": 0.4})
    return root


def test_one_sweep_shows_its_ranked_points(two_sweeps, compared):
    text = compared("first")
    assert re.search(r"^ +1 +0\.2 +0\.3750 ± \S+ +2 .* best.*$", text, re.MULTILINE)
    assert re.search(r"^next +trainctl dataset=iris threads=\d+ optimizer.lr=0.2$", text, re.MULTILINE)
    text = compared("second")
    assert text.startswith("The sweep is not complete; continue it with: trainctl resume runs/second\n")
    assert "1 trial failed:" in text


def test_scripts_get_the_points_of_a_sweep_in_full(two_sweeps, compared):
    content = json.loads(compared("first", "format=json"))
    assert (content["sweep"], content["monitor"]) == ("first", "val/loss")
    best, worst = content["points"]
    assert (best["rank"], best["settings"], best["value"]) == (1, {"optimizer.lr": "0.2"}, 0.375)
    assert (best["values"], best["seeds"], best["trials"]) == ([0.25, 0.5], 2, {"finished": 2})
    assert worst["rank"] == 2
    failed = json.loads(compared("second", "format=json"))["points"][1]
    assert (failed["rank"], failed["value"], failed["verdict"]) == (None, None, "failed")
    rows = list(csv.DictReader(io.StringIO(compared("second", "format=csv"))))
    assert [(row["rank"], row["optimizer.lr"], row["value"], row["failed"]) for row in rows] == [
        ("1", "0.3", "0.4", "0"),
        ("", "0.4", "", "1"),
    ]


def test_several_sweeps_are_compared_by_their_best_points(two_sweeps, compared):
    text = compared("first", "second")
    best, settings, results = text.split("\n\n")
    assert rows(best)["first"][:3] == ["optimizer.lr=0.2", "val/loss 0.3750 ± 1.5883", "2"]
    assert rows(best)["second"] == ["optimizer.lr=0.3", "val/loss 0.4000", "1", "2", "2"]
    assert rows(settings)["optimizer.lr"] == ["0.2", "0.3"]
    assert rows(results)["val/loss"] == ["0.300000 *", "0.400000"]


def test_a_sweep_stands_for_its_best_run_beside_other_runs(two_sweeps, compared):
    make(two_sweeps / "alone", optimizer={"name": "sgd", "lr": 0.2}, metrics={"val/loss": 0.2})
    content = json.loads(compared("alone", "first", "format=json"))
    assert [run["run"] for run in content] == ["alone", "first/1-optimizer.lr=0.2,seed=0"]
    assert content[0]["sweep"] is None
    assert (content[1]["sweep"]["mean"], content[1]["sweep"]["seeds"]) == (0.375, 2)
    assert content[1]["settings"]["optimizer.name"] == "adam"
    table = list(csv.DictReader(io.StringIO(compared("alone", "first", "format=csv"))))
    assert [(row["optimizer.name"], row["val/loss"], row["sweep_mean"]) for row in table] == [
        ("sgd", "0.2", ""),
        ("adam", "0.3", "0.375"),
    ]


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["first", "first"], ConfigError, "first: same run as runs/first/1-optimizer.lr=0.2,seed=0"),
        (["first", "empty"], CheckpointError, "runs/empty: has no best point: no trial was trained in full"),
        (["damaged"], CheckpointError, "damaged: is not a sweep that can be continued"),
        (["first", "damaged"], CheckpointError, "damaged: is not a sweep that can be continued"),
        (["first/1"], ConfigError, "needs at least two runs, or a sweep: trainctl compare runs/first"),
        (["first", "format=x"], ConfigError, "format=x: no such format"),
    ],
)
def test_sweeps_that_cannot_be_compared_are_errors(two_sweeps, words, error, message):
    opened("optimizer.lr=0.3,0.4", "sweep.name=empty")
    (two_sweeps / "damaged").mkdir()
    (two_sweeps / "damaged/sweep.json").write_text("{}")
    with pytest.raises(error, match=re.escape(message)):
        compare.main(words)


def test_the_help_is_plain_and_narrow():
    assert "trainctl compare" in compare.__doc__
    assert max(map(len, compare.__doc__.splitlines())) < 80


def test_it_imports_neither_torch_nor_hydra(root):
    make(root / "a")
    make(root / "b", seed=7)
    code = "import sys; from trainctl.command import compare; compare.main(['a', 'b']);"
    code += "assert not {'torch', 'hydra'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, cwd=root.parent, env={"PYTHONPATH": str(HOME)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "seed" in done.stdout


def measured(directory, value, half=0.01, curve=(0.5, 0.4), **more):
    """Write a run whose test accuracy has an interval, and which has curves."""
    make(directory, metrics={"val/loss": 0.5, "test/accuracy": value}, **more)
    content = json.loads((directory / "summary.json").read_text())
    content["intervals"] = {"test/accuracy": [value - half, value + half], "broken": [1.0]}
    (directory / "summary.json").write_text(json.dumps(content))
    rows = [{"step": n, "epoch": float(n), "lr": 0.1, "val/loss": loss} for n, loss in enumerate(curve, 1)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def test_it_says_which_differences_are_more_than_chance(root, compared):
    for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.899)):
        measured(root / name, value, optimizer={"name": name})
    text = compared("a", "b", "c").partition("Distinguishable?")[2]
    assert "test/accuracy: a is better than b: 0.9000 against 0.8000" in text
    assert "test/accuracy: a and c cannot be distinguished: 0.9000 and 0.8990" in text
    assert "5 % for all comparisons together" in text
    content = json.loads(compared("a", "b", "format=json"))
    assert content[0]["intervals"] == {"test/accuracy": [0.89, 0.91]}


def test_runs_of_different_data_or_without_intervals_are_not_judged(root, compared):
    measured(root / "a", 0.9)
    measured(root / "b", 0.5, fingerprint="cd" * 16)
    make(root / "c")
    assert "Distinguishable?" not in compared("a", "b")
    assert "Distinguishable?" not in compared("a", "c")


def test_repeated_seeds_are_compared_by_seed(root, compared):
    for model, value in (("mlp", 0.8), ("cnn", 0.9)):
        for seed in range(3):
            measured(
                root / f"{model}-{seed}",
                value + 0.01 * seed + (0.001 * seed if model == "cnn" else 0.0),
                seed=seed,
                model={"name": model},
            )
    text = compared(*(f"{model}-{seed}" for model in ("mlp", "cnn") for seed in range(3)))
    assert re.search(
        r"test/accuracy: model=cnn \(0\.91.*3 seeds\) is better than model=mlp .*\(paired by seed\)\.", text
    )


def test_curves_are_drawn_over_each_other(root, compared, capsys):
    from matplotlib.image import imread

    for name in "ab":
        measured(root / name, 0.9)
    assert compare.main(["a", "b", "output=curves.png", "format=json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["run"] == "a"
    assert "wrote curves.png" in printed.err
    assert imread("curves.png").shape[0] > 400


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["a", "b", "output=x.pdf"], ConfigError, "give a name that ends in .png"),
        (["a", "b", "output=taken.png"], ConfigError, "taken.png: file already exists"),
        (["c", "d", "output=x.png"], ConfigError, "none of these runs has an evaluation to draw"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_errors(root, words, error, message):
    Path("taken.png").write_text("")
    for name in "ab":
        measured(root / name, 0.9)
    make(root / "c")
    make(root / "d")
    with pytest.raises(error, match=re.escape(message)):
        compare.main(words)
    assert not Path("x.png").exists()
