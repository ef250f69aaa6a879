"""`trainctl inspect` says what a run would read, and changes nothing."""

import json
from pathlib import Path

import pytest
from PIL import Image

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
    assert run(capsys, monkeypatch, "inspect", "n.csv", "target=age", "format=json")[1] == out


def test_what_is_wrong_is_said(tmp_path: Path, capsys, monkeypatch) -> None:
    code, _, err = run(capsys, monkeypatch, "inspect", "nowhere.csv")
    assert (code, err.count("\n")) == (3, 1)
    code, _, err = run(capsys, monkeypatch, "inspect", "dataset=csv")
    assert code == 2
    code, out, _ = run(capsys, monkeypatch, "inspect", "dataset=iris")
    assert (code, "rows  150 of shape 4" in out) == (0, True)


def photos(root: Path) -> None:
    """Write images of two classes, of several sizes and modes; two more cannot be read."""
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        (root / name).mkdir(parents=True)
        for width in range(10, 15):
            Image.new("RGB", (width, 20), colour).save(root / name / f"{width}.png")
    Image.new("L", (8, 30), 90).save(root / "red" / "grey.png")
    (root / "red" / "text.png").write_text("no image")
    whole = (root / "blue" / "10.png").read_bytes()
    (root / "blue" / "cut.png").write_bytes(whole[:40])


def test_of_images_sizes_modes_and_damaged_files_are_shown(tmp_path: Path, capsys, monkeypatch) -> None:
    photos(tmp_path / "photos")
    code, out, err = run(capsys, monkeypatch, "inspect", "photos/", "dataset.size=16")
    assert (code, err) == (0, "")
    assert "sizes   8x20 to 14x30 pixels, resized to 16x16 (dataset.size)" in out
    assert "modes   RGB 10, grey 1\n" in out
    damaged = [line for line in out.splitlines() if line.startswith("damaged")]
    assert "2 of 13 images cannot be read; dataset.damaged=skip leaves them out" in damaged[0]
    assert [Path(line.split(": ")[0]).name for line in damaged[1:]] == ["cut.png", "text.png"]
    code, _, err = run(capsys, monkeypatch, "inspect", "photos/", "dataset.damaged=skip", "format=json")
    assert code == 0
    code, _, err = run(capsys, monkeypatch, "photos/")
    assert (code, "cannot be read" in err) == (3, True)  # a run stops there


def test_sizes_and_modes_are_known_from_the_cache_too(tmp_path: Path, capsys, monkeypatch) -> None:
    photos(tmp_path / "photos")
    words = ("inspect", "photos", "dataset.damaged=skip", "dataset.channels=1")
    first, again = (run(capsys, monkeypatch, *words)[1] for _ in range(2))
    assert first == again
    assert "RGB 10, grey 1, read as grey (dataset.channels)" in again
    out = run(capsys, monkeypatch, "inspect", "photos", "dataset.damaged=skip", "dataset.keep=disk")[1]
    assert "8x20 to 14x30 pixels" in out


@pytest.mark.parametrize("kind", ["images", "table", "texts", "series"])
def test_a_picture_of_a_few_rows_is_drawn(tmp_path: Path, capsys, monkeypatch, kind) -> None:
    if kind == "images":
        photos(tmp_path / "data")
    elif kind == "table":
        flowers(tmp_path / "data.csv")
    elif kind == "texts":
        table(tmp_path / "data.csv", "review,label", lambda n: f"a film of {n} words that is long enough,{'yn'[n % 2]}")
    else:
        table(tmp_path / "data.csv", "date,sales", lambda n: f"2024-{1 + n // 28:02}-{1 + n % 28:02},{n * 7 % 13}.5")
    name = "data" if kind == "images" else "data.csv"
    code, out, err = run(capsys, monkeypatch, "inspect", name, "output=rows.png")
    assert (code, err, "picture  rows.png" in out) == (0, "", True)
    with Image.open(tmp_path / "rows.png") as drawn:
        assert min(drawn.size) > 200
        assert len(drawn.convert("RGB").getcolors(1 << 20)) > 30
    code, _, err = run(capsys, monkeypatch, "inspect", name, "output=rows.png")
    assert (code, "already exists" in err) == (2, True)
    code, _, err = run(capsys, monkeypatch, "inspect", name, "output=rows.jpg")
    assert (code, "ends in .png" in err) == (2, True)


def test_dates_are_shown_as_dates(tmp_path: Path, capsys, monkeypatch) -> None:
    table(tmp_path / "d.csv", "joined,at,label", lambda n: f"{1 + n % 28}.3.2021,{n % 24:02}:30,{'yn'[n % 2]}")
    code, out, _ = run(capsys, monkeypatch, "inspect", "d.csv", "format=json")
    found = {column["name"]: column["text"] for column in json.loads(out)["columns"]}
    assert (code, found) == (0, {"joined": "2021-03-01 to 2021-03-28", "at": "00:30 to 23:30"})
