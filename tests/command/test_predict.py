"""Predict files and directories in one call."""

import csv
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from trainctl import cli

QUICK = "loop.max_steps=2 threads=1 output.plots=false"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a directory with a run on images, one on lines of text and one on files of text."""
    root = tmp_path_factory.mktemp("trained")
    for row in range(10):
        for name, level in (("cat", 50), ("dog", 200)):
            (root / "pets" / name).mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), level + row).save(root / "pets" / name / f"{row}.png")
            (root / "reviews" / name).mkdir(parents=True, exist_ok=True)
            (root / "reviews" / name / f"{row}.txt").write_text(f"a {name}\n\nnumber {row}")
    for name in ("cat", "dog"):
        (root / "names").mkdir(exist_ok=True)
        (root / "names" / f"{name}.txt").write_text("".join(f"{name} {row}\n" for row in range(10)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        small = "model=rnn model.hidden_size=4 dataset.level=words"
        for typed in (
            "dataset=image_folder dataset.path=pets dataset.size=4 dataset.cache=cache model=cnn model.channels=[2]",
            f"dataset=text dataset.path=names {small} output.root=lines",
            f"dataset=text dataset.path=reviews {small} output.root=files",
        ):
            patch.setattr(sys, "argv", ["trainctl", *typed.split(), *QUICK.split()])
            assert cli.main() == 0
    return root


@pytest.fixture
def predict(trained, capfd, monkeypatch):
    def run(kind, *words):
        (directory,) = (path.parent for path in (trained / kind).glob("*/config.yaml"))
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
    code, rows, err = predict("runs", "new", "dog3.png")
    assert code == 0
    assert [row["file"] for row in rows] == ["new/cat1.png", "new/deep/dog2.png", "dog3.png"]
    assert [row["row"] for row in rows] == ["0"] * 3
    assert err == "trainctl: note: new: not used, because this run reads images: 1 .md\n"
    alone = predict("runs", "dog3.png")[1]
    assert list(alone[0]) == ["row", "prediction", "p_cat", "p_dog"]
    assert float(alone[0]["p_dog"]) == pytest.approx(float(rows[2]["p_dog"]), abs=1e-5)


def test_damaged_files_are_reported_and_the_others_are_predicted(predict):
    paint("new/cat1.png", "new/dog2.png")
    Path("new/bad.png").write_bytes(b"no image")
    Path("empty.png").touch()
    code, rows, err = predict("runs", "new", "empty.png", "output=o.csv")
    lines = Path("o.csv").read_text().splitlines()
    assert code == 3
    assert [line.partition(",")[0] for line in lines] == ["file", "new/cat1.png", "new/dog2.png"]
    assert "new/bad.png: cannot be read as an image" in err
    assert "empty.png: cannot be read as an image" in err
    assert err.splitlines()[-1] == "trainctl: 2 of 4 files are not predicted, for the reasons above"
    code, rows, err = predict("runs", "new/bad.png", "empty.png", "output=p.csv")
    assert (code, rows, err.count("\n")) == (3, [], 2)
    assert not Path("p.csv").exists()


def test_a_missing_file_ends_before_anything_is_read(predict):
    paint("new/cat1.png")
    code, rows, err = predict("runs", "new/cat1.png", "new/cat2.png")
    assert (code, rows) == (3, [])
    assert "new/cat2.png: no such file; did you mean cat1.png?" in err


def test_lines_of_a_text_and_unknown_tokens_are_told(predict):
    Path("new.txt").write_text("cat 1\n\nzebra 1\n")
    code, rows, err = predict("lines", "new.txt")
    assert code == 0
    assert [(row["row"], row["line"]) for row in rows] == [("0", "1"), ("1", "3")]
    assert "1 of 4 tokens (25.0%) are not in the run's vocabulary, such as 'zebra'" in err


def test_files_of_text_are_predicted_as_they_were_trained(predict):
    for name in ("a.txt", "b.txt"):
        Path("new").mkdir(exist_ok=True)
        Path("new", name).write_text("a cat\n\nnumber 1")
    code, rows, err = predict("files", "new")
    assert (code, err) == (0, "")
    assert [row["file"] for row in rows] == ["new/a.txt", "new/b.txt"]
    assert list(rows[0])[:3] == ["file", "row", "prediction"]
