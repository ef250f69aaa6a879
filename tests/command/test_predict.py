"""Predict files and directories in one call."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests import small_runs
from trainctl import cli


@pytest.fixture
def predict(small_root, capfd, monkeypatch):
    def run(kind, *words):
        directory = small_runs.find(small_root, kind)
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["trainctl", "predict", str(directory), *words])
        code = cli.main()
        out, err = capfd.readouterr()
        return code, list(csv.DictReader(io.StringIO(out))), err

    return run


def paint(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 60 if "cat" in name else 210).save(name)


def test_a_directory_and_files_are_predicted_in_one_call(predict):
    paint("new/cat1.png", "new/deep/dog2.png", "dog3.png")
    Path("new/notes.md").write_text("x")
    code, rows, err = predict("images", "new", "dog3.png")
    assert code == 0
    assert [row["file"] for row in rows] == ["new/cat1.png", "new/deep/dog2.png", "dog3.png"]
    assert [row["row"] for row in rows] == ["0"] * 3
    assert err == "trainctl: note: new: not used, because this run reads images: 1 .md\n"
    alone = predict("images", "dog3.png")[1]
    assert list(alone[0]) == ["row", "prediction", "p_cat", "p_dog"]
    assert float(alone[0]["p_dog"]) == pytest.approx(float(rows[2]["p_dog"]), abs=1e-5)


def test_damaged_files_are_reported_and_the_others_are_predicted(predict):
    paint("new/cat1.png", "new/dog2.png")
    Path("new/bad.png").write_bytes(b"no image")
    Path("empty.png").touch()
    code, rows, err = predict("images", "new", "empty.png", "output=o.csv")
    lines = Path("o.csv").read_text().splitlines()
    assert code == 3
    assert [line.partition(",")[0] for line in lines] == ["file", "new/cat1.png", "new/dog2.png"]
    assert "new/bad.png: cannot be read as an image" in err
    assert "empty.png: cannot be read as an image" in err
    assert err.splitlines()[-1] == "trainctl: 2 of 4 files are not predicted, for the reasons above"
    code, rows, err = predict("images", "new/bad.png", "empty.png", "output=p.csv")
    assert (code, rows, err.count("\n")) == (3, [], 2)
    assert not Path("p.csv").exists()


def test_a_missing_file_ends_before_anything_is_read(predict):
    paint("new/cat1.png")
    code, rows, err = predict("images", "new/cat1.png", "new/cat2.png")
    assert (code, rows) == (3, [])
    assert "new/cat2.png: no such file; did you mean cat1.png?" in err


def test_lines_of_a_text_and_unknown_tokens_are_told(predict):
    Path("new.txt").write_text("cat 1\n\nzebra 1\n")
    code, rows, err = predict("lines", "new.txt")
    assert code == 0
    assert [(row["row"], row["line"]) for row in rows] == [("0", "1"), ("1", "3")]
    assert "1 of 4 tokens (25.0%) is not in the run's vocabulary, such as 'zebra'" in err


def test_files_of_text_are_predicted_as_they_were_small_root(predict):
    for name in ("a.txt", "b.txt"):
        Path("new").mkdir(exist_ok=True)
        Path("new", name).write_text("a cat\n\nnumber 1")
    code, rows, err = predict("files", "new")
    assert (code, err) == (0, "")
    assert [row["file"] for row in rows] == ["new/a.txt", "new/b.txt"]
    assert list(rows[0])[:3] == ["file", "row", "prediction"]


def piped(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_quoted_pattern_stands_for_its_files(predict):
    paint("new/cat1.png", "new/deep/dog2.png", "new/[x].png")
    code, rows, _ = predict("images", "new/**/*.png")
    assert (code, [row["file"] for row in rows]) == (0, ["new/[x].png", "new/cat1.png", "new/deep/dog2.png"])
    assert predict("images", "new/[x].png")[0] == 0  # a name that exists is no pattern
    code, rows, err = predict("images", "new/*.jpg")
    assert (code, rows, err) == (3, [], "trainctl: new/*.jpg: matches no file\n")


TABLE = b"customer,city,age\nc1,Bern,3\nc2,Ulm,4\n"
RECORDS = b'{"customer": "c1", "city": "Bern", "age": 3}\n{"customer": "c2", "city": "Ulm", "age": 4.0}\n'


@pytest.mark.parametrize(
    "content", [TABLE, RECORDS, b"[" + RECORDS.replace(b"\n", b",")[:-1] + b"]", TABLE.replace(b",", b";")]
)
def test_rows_come_from_standard_input_as_from_a_file(predict, monkeypatch, content):
    Path("rows.csv").write_bytes(TABLE)
    expected = predict("prices", "rows.csv", "id=customer")[1]
    piped(monkeypatch, content)
    code, rows, err = predict("prices", "-", "id=customer")
    assert (code, rows, err) == (0, expected, "")
    assert [row["customer"] for row in rows] == ["c1", "c2"]


def test_standard_input_may_be_an_image_or_lines_of_text_and_be_one_of_several(predict, monkeypatch):
    paint("cat1.png")
    alone = predict("images", "cat1.png")[1]
    piped(monkeypatch, Path("cat1.png").read_bytes())
    assert predict("images", "-")[1] == alone
    piped(monkeypatch, Path("cat1.png").read_bytes())
    assert [row["file"] for row in predict("images", "-", "cat1.png")[1]] == ["-", "cat1.png"]
    piped(monkeypatch, b"cat 1\n\ndog 2\n")
    assert [row["line"] for row in predict("lines", "-")[1]] == ["1", "3"]
    piped(monkeypatch, b"n,text\n7,cat 1\n")
    assert [row["n"] for row in predict("lines", "-", "id=n")[1]] == ["7"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "-: standard input is empty"),
        (b"city\nBern\n", "-, line 1: column age is missing"),
        (b"city,age\nBern,many\n", "-, line 2, column age: 'many' is not a number"),
        (b"PAR1\0\0\0\0", "-: this is a Parquet file"),
        (b"city\n\xe9\n", "not UTF-8"),
        (b'[{"city": [1]}]', "-, line 1, field city: contains a list"),
    ],
)
def test_wrong_rows_on_standard_input_are_reported_in_a_line(predict, monkeypatch, content, expected):
    piped(monkeypatch, content)
    code, rows, err = predict("prices", "-")
    assert (code, rows) == (3, [])
    assert expected in err
    assert err.count("\n") == 1


def test_columns_are_kept_and_never_take_the_name_of_a_prediction(predict):
    Path("rows.csv").write_text("customer,city,age,price,row\nc1,Bern,3,7,x\n")
    kept = predict("prices", "rows.csv", "keep=inputs")[1][0]
    assert list(kept) == ["row", "city", "age", "price"]
    kept = predict("prices", "rows.csv", "keep=all", "id=customer")[1][0]
    assert list(kept) == ["row", "customer", "city", "age", "given_price", "given_row", "price"]
    assert (kept["given_price"], kept["given_row"], kept["row"]) == ("7", "x", "0")
    paint("dog1.png")
    assert predict("images", "dog1.png", "keep=inputs")[1][0]["file"] == "dog1.png"
    Path("new.txt").write_text("cat 1\n\nzebra 1\n")
    assert [row["text"] for row in predict("lines", "new.txt", "keep=inputs")[1]] == ["cat 1", "zebra 1"]


def test_identifiers_are_kept_unless_others_are_named(predict):
    rows = "customer_id,age,city,PassengerId\nC7,31,Bern,9\nC8,40,Ulm,8\n"
    Path("rows.csv").write_text(rows)
    whole = predict("prices", "rows.csv")[1]
    assert [(row["customer_id"], row["PassengerId"]) for row in whole] == [("C7", "9"), ("C8", "8")]
    assert list(whole[0]) == ["row", "customer_id", "PassengerId", "price"]
    assert "customer_id" not in predict("prices", "rows.csv", "keep=none")[1][0]
    named = predict("prices", "rows.csv", "id=city")[1][0]
    assert ("city" in named, "customer_id" in named) == (True, False)


def test_json_lines_have_the_numbers_of_the_csv(predict):
    Path("rows.csv").write_text("customer,city,age,zip,price\nc1,Bern,3,0123,1\nc2,Ulm,4.5,7,1\n")
    for kind in ("prices", "cities"):
        rows = predict(kind, "rows.csv", "id=customer,zip,age")[1]
        assert predict(kind, "rows.csv", "id=customer,zip,age", "output=x.jsonl")[0] == 0
        found = [json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]
        Path("x.jsonl").unlink()
        assert [[str(value) for value in row.values()] for row in found] == [
            [*map(spelt, row.values())] for row in rows
        ]
        assert [row["age"] for row in found] == [3, 4.5]
        assert [row["zip"] for row in found] == ["0123", "7"]


def spelt(cell):
    """Return a cell as Python writes the number that JSON has."""
    try:
        return cell if cell.lstrip("-").isdecimal() else str(float(cell))
    except ValueError:
        return cell


def test_quantiles_lie_between_the_parts_of_an_ensemble(small_root, predict, capfd, monkeypatch):
    runs = sorted(str(path.parent) for path in (small_root / "prices").glob("*/config.yaml"))
    monkeypatch.setattr(sys, "argv", ["trainctl", "ensemble", *runs, f"output={small_root / 'mixed'}"])
    assert cli.main() == 0
    mixed = str(small_root / "mixed")
    Path("rows.csv").write_text("city,age\nBern,3\nUlm,40\n")

    def predicted(run, *words):
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["trainctl", "predict", run, "rows.csv", *words])
        assert cli.main() == 0
        return list(csv.DictReader(io.StringIO(capfd.readouterr()[0])))

    parts = [[float(row["price"]) for row in predicted(run)] for run in runs]
    rows = predicted(mixed, "quantiles=[0,0.25,1]")
    assert list(rows[0]) == ["row", "price", "disagreement", "price_q0", "price_q0.25", "price_q1"]
    for row, *both in zip(rows, *parts, strict=True):
        low, high = sorted(both)
        expected = [low, low + (high - low) / 4, high]
        assert [float(row[f"price_q{q}"]) for q in ("0", "0.25", "1")] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["quantiles=0.5"], "quantiles: only for the predictions of an ensemble"),
        (["quantiles=[0.5,0.5]"], "list each quantile only once"),
        (["quantiles=2"], "quantiles=2: expected a number in (0, 1]"),
        (["format=xml"], "format=xml: no such format"),
        (["keep=some"], "keep=some: no such keep"),
    ],
)
def test_wrong_options_are_refused(predict, words, expected):
    Path("rows.csv").write_bytes(TABLE)
    code, _, err = predict("prices", "rows.csv", *words)
    assert code == 2
    assert expected in err
