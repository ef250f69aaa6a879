"""The table of runs: complete, sorted, the same for people and scripts, and not to be crashed by a damaged run."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from tests.sweep import many
from trainctl.command import runs
from trainctl.errors import ConfigError
from trainctl.store import lock, runpath

HOME = Path(__file__).parents[2]


def make(directory, *, created="2025-01-01T12:00:00", metrics=None, outcome="finished", lr=0.001, monitor="val/loss"):
    """Write a run's files as a finished run leaves them."""
    directory.mkdir(parents=True)
    config = {
        "seed": 0,
        "monitor": monitor,
        "optimizer": {"name": "adam", "lr": lr},
        "dataset": {"name": "digits"},
        "model": {"name": "mlp", "hidden": [128]},
    }
    metrics = {"val/loss": 0.5, "test/loss": 0.625, "test/accuracy": 0.9} if metrics is None else metrics
    summary = {
        "outcome": outcome, "reason": "epochs", "steps": 800, "epochs": 20.0, "seconds": 75.0,
        "parameters": 9610, "monitor": monitor, "metrics": metrics,
        "best": {"step": 400, "epoch": 10.0, "value": metrics.get(monitor, 0.5)},
    }  # fmt: skip
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    (directory / "run.json").write_text(json.dumps({"created": created, "data": {"fingerprint": "ab" * 16}}))
    (directory / "summary.json").write_text(json.dumps(summary))
    return directory


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def listed(capsys):
    def run(*words):
        assert runs.main(words) == 0
        return capsys.readouterr().out

    return run


def names(text):
    return [line.split()[0] for line in text.splitlines()[1:]]


def row(text, name):
    """Return a run's cells by their headers."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return dict(zip(lines[0], next(line for line in lines if line[0] == name), strict=True))


def test_a_row_shows_settings_and_results(root, listed):
    make(root / "a")
    assert row(listed(), "a") == {
        "run": "a", "outcome": "finished", "dataset": "digits", "model": "mlp", "optimizer": "adam", "lr": "0.001",
        "epochs": "20", "best": "val/loss 0.5000", "test/accuracy": "0.9000", "test/loss": "0.6250", "time": "1 min 15 s",
    }  # fmt: skip


def test_the_newest_run_comes_first(root, listed):
    make(root / "b", created="2025-01-01T12:00:00")
    make(root / "c", created="2025-01-03T12:00:00+00:00")
    make(root / "a", created="2025-01-02T12:00:00Z")
    assert names(listed()) == ["c", "a", "b"]
    assert names(listed("limit=2")) == ["c", "a"]
    assert names(listed("sort=name")) == ["a", "b", "c"]


def test_without_a_date_the_directory_tells_the_age(root, listed):
    make(root / "old", created="long ago")
    make(root / "new", created=None)
    os.utime(root / "old", (1e9, 1e9))
    os.utime(root / "new", (2e9, 2e9))
    make(root / "between", created="2025-01-01T12:00:00")
    assert names(listed()) == ["new", "between", "old"]


def test_trials_of_sweeps_are_listed_by_their_path_below_the_root(root, listed):
    make(root / "sweep" / "0-optimizer.lr=0.1", lr=0.1)
    (root / "sweep" / "sweep.json").write_text("{}")
    assert row(listed("trials=true"), "sweep/0-optimizer.lr=0.1")["lr"] == "0.1"
    assert names(listed()) == ["sweep"]
    assert row(listed(), "sweep")["outcome"] == "damaged"


def test_a_sweep_is_one_line_with_the_settings_of_its_best_run(tmp_path, monkeypatch, listed):
    monkeypatch.chdir(tmp_path)
    sweep = many.write("s", 16, ["optimizer=sgd"])
    best = sweep / many.FIRST.format("00")
    make(best, lr=0.001)
    make(tmp_path / "runs" / "alone", created="2020-01-01")
    found = row(listed(), "s")
    assert (found["outcome"], found["trials"], found["lr"]) == ("finished", "16", "0.001")
    assert (found["dataset"], found["best"], found["time"]) == ("digits", "val/loss 0.2000", "16 s")
    assert row(listed(), "alone")["trials"] == "-"
    assert names(listed("sort=test/loss")) == ["s", "alone"]
    content = {run["run"]: run for run in json.loads(listed("format=json"))}
    assert (content["s"]["trials"], content["alone"]["trials"]) == (16, None)
    assert names(listed("trials=true", "sort=name")) == ["alone", f"s/{best.name}"]
    assert names(listed("status=interrupted")) == []


def test_without_sweeps_no_column_is_about_trials(root, listed):
    make(root / "a")
    assert "trials" not in listed()


@pytest.mark.parametrize(
    ("metric", "order"),
    [
        ("val/loss", ["low", "middle", "high"]),  # smaller is better
        ("val/accuracy", ["high", "middle", "low"]),  # larger is better
        ("test/r2", ["high", "middle", "low"]),
        ("test/rmse", ["low", "middle", "high"]),
    ],
)
def test_sorting_by_a_metric_puts_the_best_first(root, listed, metric, order):
    for name, value in (("middle", 0.5), ("low", -0.1), ("high", 0.9)):
        make(root / name, metrics={metric: value})
    text = listed(f"sort={metric}")
    assert names(text) == order
    assert row(text, "middle")[metric] == "0.5000"


@pytest.mark.parametrize("metric", ["val/loss", "val/accuracy"])
def test_what_is_not_a_number_or_not_there_is_sorted_last(root, listed, metric):
    for index, (name, value) in enumerate(
        (("nan", float("nan")), ("good", 0.4), ("null", None), ("infinite", float("inf")))
    ):
        make(root / name, metrics={metric: value}, created=f"2025-01-0{index + 1}")
    make(root / "none", metrics={}, created="2026-01-01")
    order = names(listed(f"sort={metric}"))
    assert sorted(order[:2]) == ["good", "infinite"]
    assert order[2:] == ["none", "null", "nan"]  # newest first among themselves


def test_a_limit_counts_after_sorting_and_filtering(root, listed):
    for index in range(6):
        make(
            root / f"r{index}",
            metrics={"val/loss": float(index)},
            outcome="failed" if index < 3 else "finished",
            created=f"2025-01-0{index + 1}",
        )
    assert names(listed("sort=val/loss", "limit=2")) == ["r0", "r1"]
    assert names(listed("sort=val/loss", "limit=2", "status=finished")) == ["r3", "r4"]
    assert names(listed("limit=1", "status=failed")) == ["r2"]


def test_a_run_without_a_summary_shows_how_far_it_came(root, listed):
    make(root / "a")
    (root / "a/summary.json").unlink()
    lines = [
        {"step": 10, "epoch": 0.5, "seconds": 3, "val/loss": 0.4, "val/accuracy": 0.8},
        {"step": 20, "epoch": 1.0, "seconds": 6, "val/loss": 0.7, "val/accuracy": 0.9},
    ]
    (root / "a/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 30, "ep')
    found = row(listed("sort=val/accuracy"), "a")
    assert (found["outcome"], found["epochs"], found["best"], found["val/accuracy"], found["time"]) == (
        "unfinished",
        "1",
        "val/loss 0.4000",
        "0.8000",
        "6.0 s",
    )
    assert names(listed("status=unfinished")) == ["a"]


def killed_at_once(directory):
    make(directory)
    (directory / "summary.json").unlink()
    return directory


def test_a_run_that_was_killed_before_its_first_checkpoint_says_how_to_start_it_again(root, capsys):
    killed_at_once(root / "a b")
    make(root / "c")
    (root / "s").mkdir()
    (root / "s" / "sweep.json").write_text("{}")
    killed_at_once(root / "s" / "0-lr=1")
    assert runs.main(["trials=true"]) == 0
    out, err = capsys.readouterr()
    assert {name: row(out, name)["outcome"] for name in ("a b", "c", "s/0-lr=1")} == {
        "a b": "unstarted", "c": "finished", "s/0-lr=1": "unstarted",
    }  # fmt: skip
    why = "was killed before its first checkpoint, so it cannot be resumed; to start it again: trainctl"
    assert f"a b {why} 'runs/a b/config.yaml'\n" in err
    assert f"0-lr=1 {why} resume runs/s\n" in err
    assert err.count("\n") == 2
    assert runs.main(["trials=true", "status=unstarted", "format=csv"]) == 0
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (3, "")


@pytest.mark.parametrize("there", ["checkpoints/step-00000000.json", "metrics.jsonl", "lock.json"])
def test_a_run_with_a_checkpoint_or_a_result_or_a_process_has_begun(root, listed, there):
    path = killed_at_once(root / "a") / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    if there == "lock.json":
        path.write_text(json.dumps(asdict(lock.me(runpath.hold(root / "a")))))
    assert row(listed(), "a")["outcome"] == "unfinished"


def test_the_notes_on_many_such_runs_are_cut_short(root, capsys):
    for number in range(7):
        killed_at_once(root / str(number))
    assert runs.main([]) == 0
    err = capsys.readouterr().err
    assert err.count("killed before its first") == 5
    assert err.splitlines()[-1] == "trainctl: note: so were 2 more: trainctl runs status=unstarted"


def test_the_best_of_an_unfinished_run_follows_the_metric_s_direction(root, listed):
    make(root / "a", monitor="val/accuracy")
    (root / "a/summary.json").unlink()
    lines = [f'{{"step": {step}, "val/accuracy": {value}}}' for step, value in enumerate(("NaN", 0.7, 0.9, 0.8))]
    (root / "a/metrics.jsonl").write_text("\n".join(lines))
    assert row(listed(), "a")["best"] == "val/accuracy 0.9000"


DAMAGE = {
    "config.yaml": ["{a: [", "- 1", "", "date: 2024-99-99", b"\xff\xfe\x00"],
    "summary.json": ["", "{", "[]", "{}", b"\xff"],
}


@pytest.mark.parametrize(
    ("file", "content"), [(file, content) for file, contents in DAMAGE.items() for content in contents]
)
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_damaged_run_is_shown_as_damaged_beside_the_others(root, listed, file, content, form):
    make(root / "good", created="2025-01-01")
    make(root / "bad", created="2025-01-02")
    (root / "bad" / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    text = listed(f"format={form}")
    assert "damaged" in text
    assert "good" in text
    assert "bad" in listed("status=damaged")
    assert "good" not in listed("status=damaged")


@pytest.mark.parametrize("key", ["outcome", "steps", "epochs", "seconds", "parameters", "monitor", "best", "metrics"])
@pytest.mark.parametrize("value", [None, "text", [1], {"a": "b"}, True, 1e400, -1])
def test_a_value_of_a_wrong_type_does_not_stop_the_list(root, listed, key, value):
    make(root / "odd")
    summary = json.loads((root / "odd/summary.json").read_text())
    (root / "odd/summary.json").write_text(json.dumps(summary | {key: value}))
    for form in ("table", "json", "csv"):
        assert "odd" in listed(f"format={form}")


def test_true_is_not_a_number(root, listed):
    make(root / "odd", metrics={"val/loss": True, "test/loss": True})
    found = row(listed(), "odd")
    assert found["best"] == "-"
    assert "test/loss" not in found


@pytest.mark.parametrize("value", ["created: 1", {"data": 3, "model": "x", "created": 5}, {"created": "9999999-01-01"}])
def test_odd_facts_do_not_stop_the_list(root, listed, value):
    make(root / "odd")
    (root / "odd/run.json").write_text(json.dumps(value))
    (root / "odd/config.yaml").write_text("optimizer: adam\ndataset: {name: [1]}\nmodel: null\n")
    assert row(listed(), "odd")["optimizer"] == "-"


def test_json_holds_everything_as_numbers_and_is_strict(root, listed):
    make(root / "a", metrics={"val/loss": float("nan"), "test/loss": 0.123456789}, lr=1e-05)
    make(root / "b", metrics={"val/loss": float("inf")})

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    found = {run["run"]: run for run in json.loads(listed("format=json"), parse_constant=refuse)}
    assert found["a"]["metrics"] == {"val/loss": None, "test/loss": 0.123456789}
    assert (found["a"]["lr"], found["a"]["seconds"], found["a"]["outcome"]) == (1e-05, 75.0, "finished")
    assert Path(found["a"]["path"]) == Path("runs/a")
    assert found["b"]["best"] is None


def test_csv_has_a_column_for_each_metric(root, listed):
    make(root / "a", metrics={"val/loss": 0.25})
    make(root / "b", metrics={"val/loss": 0.5, "test/r2": -0.5})
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(listed("format=csv")))}
    assert (rows["a"]["val/loss"], rows["a"]["test/r2"]) == ("0.25", "")
    assert rows["b"]["test/r2"] == "-0.5"


@pytest.mark.parametrize("start", "=+-@")
def test_csv_gives_a_spreadsheet_nothing_to_execute(root, listed, start):
    make(root / f"{start}cmd")
    assert listed("format=csv").splitlines()[1].startswith(f"'{start}cmd,")


def test_a_pipe_gets_one_whole_line_for_each_run_without_escape_codes(root, listed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    make(root / ("x" * 200))
    make(root / "[red]y")
    text = listed()
    assert "x" * 200 in text
    assert "[red]y" in text
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3


def test_a_root_may_be_named(tmp_path, monkeypatch, listed):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "elsewhere/a")
    assert names(listed("root=elsewhere")) == ["a"]
    assert names(listed(f"root={tmp_path / 'elsewhere'}")) == ["a"]


def test_without_runs_it_says_so_and_scripts_get_an_empty_list(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert runs.main([]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "There are no runs in runs.\n")
    assert runs.main(["format=json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert runs.main(["format=csv"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("srt=name", "srt=name: no such option; did you mean sort?"),
        ("limt", "limt: expected key=value; did you mean limit?"),
        ("--sort=name", "--sort=name: "),
        (
            "sort=val/los",
            "sort=val/los: no such sort; did you mean val/loss? (choose from: time, name, val/loss, test/accuracy, ",
        ),
        ("status=finish", "status=finish: no such status; did you mean finished?"),
        ("format=jsn", "format=jsn: no such format; did you mean json?"),
        ("trials=yes", "trials=yes: no such trials"),
        ("limit=0", "limit=0: expected a whole number in [1, inf)"),
        ("limit=-1", "limit=-1: expected"),
        ("limit=x", "limit=x: expected"),
        ("root=nowhere", "root=nowhere: no such directory"),
    ],
)
def test_wrong_words_are_answered_with_the_nearest(root, word, message):
    make(root / "a")
    with pytest.raises(ConfigError, match=re.escape(message)):
        runs.main([word])


def test_the_help_is_plain_and_narrow():
    assert "trainctl runs" in runs.__doc__
    assert max(map(len, runs.__doc__.splitlines())) < 80


def test_it_imports_neither_torch_nor_hydra(root):
    make(root / "a")
    code = (
        "import sys; from trainctl.command import runs; runs.main([]);assert not {'torch', 'hydra'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, cwd=root.parent, env={"PYTHONPATH": str(HOME)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "finished" in done.stdout


def with_settings(directory, **settings):
    """Write a run with other settings."""
    make(directory)
    config = yaml.safe_load((directory / "config.yaml").read_text())
    (directory / "config.yaml").write_text(yaml.safe_dump(config | settings))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["tag=baseline"], ["a", "b"]),
        (["tag=baseline,old"], ["b"]),
        (["model=cnn"], ["b"]),
        (["model=cnn,mlp"], ["a", "b", "c"]),
        (["model=c*"], ["b"]),
        (["optimizer.lr=1e-3"], ["a", "b", "c"]),
        (["optimizer.lr=0.1"], []),
        (["augment=crop"], ["c"]),
        (["model=mlp", "tag=baseline"], ["a"]),
        (["name=a"], ["a"]),
        (["seed=0", "name=[bc]*"], ["b", "c"]),
        (["loop.epochs=3"], []),  # which these runs do not have
    ],
    ids=lambda value: " ".join(value) if value else "none",
)
def test_runs_are_filtered_by_tag_name_and_any_setting(root, capsys, words, found):
    with_settings(root / "a", output={"tags": ["baseline"]})
    with_settings(root / "b", output={"tags": ["old", "baseline"]}, model={"name": "cnn"})
    with_settings(
        root / "c", output={"tags": "not a list"}, augment={"crop": {"name": "crop"}, "flip": {"name": "flip"}}
    )
    assert runs.main([*words, "sort=name"]) == 0
    assert names(capsys.readouterr().out) == found


def test_tags_are_a_column_where_a_run_has_some(root, listed):
    with_settings(root / "a", output={"tags": ["x", "y"]})
    make(root / "b")
    assert row(listed(), "a")["tags"] == "x,y"
    assert json.loads(listed("format=json", "name=a"))[0]["tags"] == ["x", "y"]


def test_a_filter_that_is_no_setting_is_an_error(root):
    with pytest.raises(ConfigError, match="modl=cnn: no such option"):
        runs.main(["modl=cnn"])


def test_the_data_set_is_called_by_its_file(root, listed):
    with_settings(root / "a", dataset={"name": "csv", "path": "/data/penguins.csv"})
    assert row(listed(), "a")["dataset"] == "penguins"


def test_on_a_narrow_terminal_names_become_shorter_before_columns_are_hidden(root, monkeypatch, capsys):
    for number in range(2):
        make(root / f"20261120-22300{number}-digits-mlp-adam-e4eef{number}")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = {}
    for width in (200, 110, 60):
        monkeypatch.setenv("COLUMNS", str(width))
        assert runs.main([]) == 0
        shown[width] = capsys.readouterr().out
    assert "20261120-223000-digits-mlp-adam-e4eef0" in shown[200]
    assert "\ndigits-mlp-adam-e4eef0 " in shown[110]
    assert "20261120" not in shown[110]
    assert "\ne4eef0 " in shown[60]
