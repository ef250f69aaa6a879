"""Runs are removed when nobody uses them and the user has said so; what is behind a link stays."""

import json
import os

import pytest
import yaml

from trainctl.command import remove
from trainctl.store import lock


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def make(directory, parents=()):
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(yaml.safe_dump({"seed": 0}))
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "last.safetensors").write_bytes(b"0" * 1000)
    facts = [
        {
            "role": "start",
            "name": parent.name,
            "path": str(parent),
            "step": 1,
            "weights_sha256": "0" * 64,
            "config_sha256": "0" * 64,
        }
        for parent in parents
    ]
    (directory / "run.json").write_text(json.dumps({"created": "2025-01-01T12:00:00", "parents": facts}))
    return directory


def test_a_run_is_removed_once_it_is_confirmed(root, say):
    make(root / "a"), make(root / "b")
    code, out, err = say("remove", "a")
    assert (code, (root / "a").exists()) == (2, True)
    assert "cannot ask (not a terminal); add yes=true" in err
    code, out, _ = say("remove", "a", "yes=true")
    assert (code, sorted(path.name for path in root.iterdir())) == (0, ["b"])
    assert out.startswith("runs/a: 1.")
    assert "removed 1 run, 1." in out


@pytest.mark.parametrize(
    ("answer", "stays"), [("y\n", False), ("yes\n", False), ("n\n", True), ("\n", True), ("", True)]
)
def test_a_terminal_is_asked(root, monkeypatch, capsys, answer, stays):
    make(root / "a")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert remove.main(["a"]) == 0
    assert (root / "a").exists() == stays
    assert "Remove it? [y/N]" in capsys.readouterr().out


def test_a_run_that_is_written_to_is_not_removed(root, say):
    make(root / "a"), make(root / "b")
    with lock.hold(root / "b"):
        code, _, err = say("remove", "a", "b", "yes=true")
    assert code == 5
    assert f"process {os.getpid()}" in err
    assert (root / "a").exists()
    assert (root / "b" / "checkpoints" / "last.safetensors").exists()


def test_a_run_from_which_another_was_made_needs_a_word(root, say):
    make(root / "parent")
    make(root / "child", [root / "parent"])
    code, _, err = say("remove", "parent", "yes=true")
    assert (code, (root / "parent").exists()) == (4, True)
    assert "runs were made from it (child); to remove it anyway, add parents=true" in err
    assert say("remove", "parent", "child", "yes=true")[0] == 0
    make(root / "parent"), make(root / "child", [root / "parent"])
    assert say("remove", "parent", "parents=true", "yes=true")[0] == 0
    assert (root / "child").exists()


def test_a_sweep_is_removed_whole_and_a_trial_is_not(root, say):
    make(root / "sweep" / "0-a"), make(root / "sweep" / "1-b")
    (root / "sweep" / "sweep.json").write_text("{}")
    code, _, err = say("remove", "sweep/0-a", "yes=true")
    assert (code, (root / "sweep" / "0-a").exists()) == (4, True)
    assert "is a trial of a sweep; remove the whole sweep: runs/sweep" in err
    with lock.hold(root / "sweep" / "1-b"):
        assert say("remove", "sweep", "yes=true")[0] == 5
    assert (root / "sweep" / "0-a" / "config.yaml").exists()
    make(root / "single")
    code, out, _ = say("remove", "sweep", "single", "yes=true")
    assert (code, "removed 1 run and 1 sweep, " in out) == (0, True), out
    assert list(root.iterdir()) == []


def test_a_sweep_of_one_trial_is_counted_as_one(root, say):
    make(root / "sweep" / "0-a")
    (root / "sweep" / "sweep.json").write_text("{}")
    assert say("remove", "sweep", "yes=true")[1].splitlines()[0].endswith(", 1 trial")


def test_what_is_behind_a_link_stays(root, say, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("x")
    make(root / "a")
    (root / "a" / "link").symlink_to(tmp_path / "data")
    make(tmp_path / "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    assert say("remove", "a", "yes=true")[0] == 0
    assert (tmp_path / "data" / "precious").exists()
    code, _, err = say("remove", "linked", "yes=true")
    assert (code, (tmp_path / "elsewhere" / "config.yaml").exists()) == (4, True)
    assert "is a link to" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [(["remove"], 2, "name the runs"), (["remove", "x"], 4, "no such run"), (["remove", "."], 4, ".: ")],
)
def test_what_is_no_run_is_said(root, say, words, code, message):
    found, _, err = say(*words, "yes=true")
    assert found == code
    assert message in err


def test_an_interrupted_removal_can_be_repeated(root, say, monkeypatch):
    make(root / "a")
    with monkeypatch.context() as patch:
        patch.setattr(
            "trainctl.store.removal.shutil.rmtree",
            lambda path: (_ for _ in ()).throw(OSError(5, "I/O error", str(path))),
        )
        code, _, err = say("remove", "a", "yes=true")
    assert code == 5
    assert "cannot be removed completely" in err
    assert say("remove", "a", "yes=true")[0] == 0
    assert list(root.iterdir()) == []
