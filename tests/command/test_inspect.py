"""`trainctl inspect` says what a run would read, and changes nothing."""

import json
from pathlib import Path

import pytest

from tests.command.test_env import run
from tests.fileformat.test_recognise import flowers, table


def test_columns_classes_and_splits_are_described(tmp_path: Path, capsys, monkeypatch) -> None:
    flowers(tmp_path / "f.csv")
    code, out, _ = run(capsys, monkeypatch, "inspect", "f.csv", "format=json")
    found = json.loads(out)
    assert code == 0
    assert (found["rows"], sum(found["splits"].values())) == (60, 60)
    assert found["classes"] == {"setosa": 20, "versicolor": 20, "virginica": 20}
    by_name = {column["name"]: column for column in found["columns"]}
    assert list(by_name) == ["length", "width", "island"]
    assert by_name["width"]["missing"] == pytest.approx(1 / 60)
    assert by_name["length"] | {"text": ""} == {
        "name": "length",
        "kind": "numbers",
        "missing": 0.0,
        "distinct": 7,
        "text": "",
    }
    assert by_name["length"]["text"].startswith("0.5 to 6.5, mean ")
    assert by_name["island"]["text"] == "A 30, B 30"
    code, text, _ = run(capsys, monkeypatch, "inspect", "f.csv")
    assert code == 0
    assert "f.csv: the target is species, by its name" in text
    assert {path.name for path in tmp_path.iterdir()} == {"f.csv"}


def test_without_a_plain_target_all_columns_are_shown(tmp_path: Path, capsys, monkeypatch) -> None:
    table(tmp_path / "n.csv", "age,height", lambda n: f"{n}.5,{1e9 + n * 3 % 17}")
    code, out, _ = run(capsys, monkeypatch, "inspect", "n.csv")
    assert code == 0
    assert "name it with dataset.target=COLUMN" in out
    assert "1e+09 to 1e+09" in out or "1000000000" in out
    code, out, _ = run(capsys, monkeypatch, "inspect", "n.csv", "dataset.target=age", "format=json")
    assert json.loads(out)["targets"]["age"].startswith("0.5 to 59.5")


def test_what_is_wrong_is_said(tmp_path: Path, capsys, monkeypatch) -> None:
    code, _, err = run(capsys, monkeypatch, "inspect", "nowhere.csv")
    assert (code, err.count("\n")) == (3, 1)
    code, _, err = run(capsys, monkeypatch, "inspect", "dataset=csv")
    assert code == 2
    code, out, _ = run(capsys, monkeypatch, "inspect", "dataset=iris")
    assert (code, "rows  150 of shape 4" in out) == (0, True)
