"""Pages of runs, as a user would write them: every kind of data, hostile names, and what cannot be read."""

import csv
import json
import math
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import is_drawn
from tests.report.test_html import read
from trainctl import cli

NAMES = ("<script>x</script>", "'\"&$x_1$", "_plain")
COLUMN = "<img src=x onerror=alert(1)>"
QUICK = "threads=1 output.plots=false"


def write_table(path: Path, target: str) -> None:
    """Write a table with strange names of columns and categories; the target is a class or a number."""
    source = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([COLUMN, "city", "</td>"])
        for _ in range(120):
            number, city = source.uniform(0, 100), source.choice(NAMES)
            noisy = number + source.gauss(0, 30)
            last = f"{noisy:.2f}" if target == "number" else NAMES[int(noisy > 30) + int(noisy > 70)]
            writer.writerow([f"{number:.2f}", city, last])


def write_texts(path: Path) -> None:
    source = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "mood"])
        for _ in range(60):
            writer.writerow(
                [f"the <b>film</b> was {source.choice(['great', 'awful'])} & so", source.choice(["</p>", "good"])]
            )


def write_waves(path: Path) -> None:
    with path.open("w") as file:
        print("t,load,<i>", file=file)
        for step in range(120):
            print(f"{step},{math.sin(step / 5):.4f},{math.cos(step / 3):.4f}", file=file)


def write_photos(path: Path) -> None:
    for place, name in enumerate(("a<b", "c&d")):
        (path / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.random.default_rng(number).integers(0, 200, (12, 12, 3), dtype=np.uint8)
            pixels[..., place] += np.uint8(50)
            Image.fromarray(pixels).save(path / name / f"{number}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a directory with one run for each kind of rows, and two of iris."""
    root = tmp_path_factory.mktemp("trained")
    write_table(root / "classes.csv", "class")
    write_table(root / "numbers.csv", "number")
    write_texts(root / "reviews.csv")
    write_waves(root / "waves.csv")
    write_photos(root / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, typed in {
            "classes": "dataset=csv dataset.path=classes.csv dataset.target=</td> model=mlp model.hidden=[8] loop.max_steps=30",
            "numbers": "dataset=csv dataset.path=numbers.csv dataset.target=</td> loss=mse model.hidden=[8] loop.max_steps=30",
            "texts": "dataset=text dataset.path=reviews.csv dataset.text=review dataset.target=mood dataset.level=words"
            " model=rnn model.hidden_size=4 loop.max_steps=10",
            "waves": "dataset=series dataset.path=waves.csv dataset.time=t dataset.columns=[load,<i>] dataset.window=6"
            " dataset.horizon=2 model=rnn model.hidden_size=4 loop.max_steps=10",
            "codes": "dataset=digits model=autoencoder model.hidden=[16] model.bottleneck=3 loop.max_steps=20",
            "photos": "dataset=image_folder dataset.path=photos dataset.size=12 model=cnn model.channels=[4] model.hidden=[8]"
            " augment=[mixup] loop.max_steps=5",
            "iris": "dataset=iris model=linear loop.epochs=3 schedule=cosine seed=0",
            "iris2": "dataset=iris model=linear loop.epochs=3 seed=1 optimizer.lr=0.1",
        }.items():
            patch.setattr(sys, "argv", ["trainctl", *typed.split(), *QUICK.split(), f"output.root={name}"])
            assert cli.main() == 0, name
    return root


@pytest.fixture
def report(trained, capfd, monkeypatch):
    """Return a function that writes a page from another directory; it returns exit code, output and messages."""

    def run(*words):
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["trainctl", "report", *map(str, words)])
        code = cli.main()
        return code, *capfd.readouterr()

    return run


def directory(trained, kind):
    (found,) = (path.parent for path in (trained / kind).glob("*/config.yaml"))
    return found


def headings(reader):
    return [attributes["id"] for tag, attributes in reader.elements if tag == "section"]


USUAL = ["results", "curves"]
END = ["data", "settings", "cost", "lineage", "reproduce"]
CLASSES = ["classes", "thresholds", "calibration", "most-confident-mistakes"]
PICTURES = {"loss", "batch", "mistakes"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "sections", "pictures"),
    [
        ("classes", CLASSES, {"accuracy", "confusion", "roc", "precision_recall", "calibration"}),
        (
            "numbers",
            ["predicted-and-true", "largest-errors"],
            {"mae", "rmse", "r2", "predicted", "residuals", "errors"},
        ),
        ("texts", CLASSES, {"accuracy", "confusion", "roc", "precision_recall", "calibration"}),
        (
            "waves",
            ["forecasts", "predicted-and-true", "largest-errors"],
            {"forecast_0", "forecast_1", "lead_0", "predicted_3"},
        ),
        ("codes", ["reconstructions", "worst-reconstructions"], {"reconstructions", "errors"}),
        ("photos", CLASSES, {"accuracy", "confusion", "calibration"}),
    ],
)
def test_each_kind_of_run_has_a_page_and_pictures(trained, report, kind, sections, pictures):
    run = directory(trained, kind)
    code, out, err = report(run, "rows=5")
    assert code == 0, err
    assert out == f"page: {run / 'report.html'}\n"
    reader = read((run / "report.html").read_bytes())
    assert headings(reader) == [*USUAL, *sections, *END]
    drawn = {path.stem for path in (run / "plots").glob("*.png")}
    assert drawn >= PICTURES | pictures
    assert "learning_rate" not in drawn  # it is constant
    for path in (run / "plots").glob("*.png"):
        assert is_drawn(path), path
    assert reader.texts.count("task") == 1
    texts = "\n".join(reader.texts)
    if kind == "waves":  # each of several targets is in the titles of its charts
        assert {"Residuals of load+1", "Residuals of <i>+2"} <= set(reader.texts)
    if kind in ("classes", "numbers"):
        assert COLUMN in texts
        assert NAMES[0] in texts
    if kind == "texts":
        assert "film" in texts
        assert "</p>" in texts
    images = sum(tag == "img" for tag, _ in reader.elements)
    assert images == {"codes": 5 * 2 + 12 * 2}.get(kind, images)
    assert kind != "photos" or images >= 1
    assert (kind == "photos") == any(text.endswith(".png") for text in reader.texts)  # a picture says which file it is


@pytest.mark.slow
def test_numbers_of_the_page_are_those_of_the_run(trained, report):
    run = directory(trained, "iris")
    assert report(run)[0] == 0
    texts = read((run / "report.html").read_bytes()).texts
    summary = json.loads((run / "summary.json").read_text())
    assert f"{summary['metrics']['test/accuracy']:.4f}" in texts
    assert f"{summary['trivial']['metrics']['test/accuracy']:.4f}" in texts
    low, high = summary["intervals"]["test/accuracy"]
    assert f"{low:.4f} to {high:.4f}" in texts
    assert (run / "plots" / "learning_rate.png").exists()
    again = next(text for text in texts if text.startswith("trainctl dataset=iris"))  # what was typed comes below it
    assert again == "trainctl dataset=iris model=linear schedule=cosine loop.epochs=3"


def test_names_of_runs_and_what_was_typed_are_text(trained, report, tmp_path):
    run = tmp_path / "<img src=x onerror=alert(1)>'\" & co"
    shutil.copytree(directory(trained, "iris"), run)
    (run / "overrides.yaml").write_text("['<b>']")
    config = (run / "run.json").read_text()
    (run / "run.json").write_text(config.replace('"command": "', '"command": "</script><script>alert(1)</script>'))
    code, _, err = report(run, "output=page.html")
    assert code == 0, err
    reader = read(Path("page.html").read_bytes())
    assert run.name in reader.texts
    assert any("</script><script>alert(1)</script>" in text for text in reader.texts)


def test_data_that_are_gone_leave_a_page_without_predictions(trained, report, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(directory(trained, "classes"), run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace(str(trained / "classes.csv"), str(tmp_path / "gone.csv")))
    code, out, err = report(run)
    assert code == 3
    assert "page: " in out
    assert "gone.csv" in err
    reader = read((run / "report.html").read_bytes())
    assert headings(reader) == [*USUAL, *END]
    assert any("This page lacks what the model predicts" in text for text in reader.texts)
    code, _, err = report(run, f"dataset.path={trained / 'classes.csv'}")
    assert code == 0, err
    assert "classes" in headings(read((run / "report.html").read_bytes()))


def test_damaged_weights_leave_a_page_without_predictions(trained, report, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(directory(trained, "iris"), run)
    for path in (run / "checkpoints").glob("*.safetensors"):
        path.write_bytes(b"nothing")
    code, _, err = report(run)
    assert (code, "the page lacks what the model predicts" in err) == (4, True)
    assert headings(read((run / "report.html").read_bytes())) == [*USUAL, *END]


def test_a_run_whose_model_computes_nan_has_a_page(report, monkeypatch):
    words = ["dataset=iris", "optimizer=sgd", "optimizer.lr=1e12", "loop.epochs=3", "output.plots=false", "threads=1"]
    monkeypatch.setattr(sys, "argv", ["trainctl", *words])
    assert cli.main() == 6
    code, _, err = report()
    assert code == 0, err
    assert "Warning" not in err
    (run,) = Path("runs").glob("*-iris-*")
    reader = read((run / "report.html").read_bytes())
    assert headings(reader) == ["results", "predictions", "data", "settings", "cost", "lineage", "reproduce"]
    assert any("is not finite for" in text for text in reader.texts)
    (reason,) = [text for text in reader.texts if text.startswith("The loss is nan at step")]
    assert "rows of the batch: " in reason  # the whole of it
    assert reason.endswith("or scale=standard.")
    (lead,) = [text for text in reader.texts if ". Started " in text]
    assert lead.endswith("learning rate 1e+12).")
    assert "optimizer.lr" in reader.texts
    assert "1e12" in reader.texts  # as it was typed


def test_several_runs_have_one_page_that_compares_them_row_by_row(trained, report):
    runs = [directory(trained, kind) for kind in ("iris", "iris2")]
    code, out, err = report(*runs)
    assert (code, out) == (0, "page: report.html\n"), err
    reader = read(Path("report.html").read_bytes())
    assert headings(reader) == ["results", "distinguishable", "settings-that-differ", "curves", "reproduce"]
    assert any("Row by row, on the same rows" in text for text in reader.texts)
    assert {run.name for run in runs} <= set(reader.texts)
    place = reader.texts.index("result")
    assert reader.texts[place + 1 : place + 3] == [
        run.name for run in runs
    ]  # columns, as there are more metrics than runs
    above = [
        reader.texts[place - 1] for place, text in enumerate(reader.texts) if text.startswith("Train it again, from")
    ]
    assert above == [run.name for run in runs]  # whose commands they are
    code, _, err = report(*runs)
    assert (code, "report.html: file already exists" in err) == (2, True)
    assert report(*runs, "output=other.html")[0] == 0


@pytest.mark.slow
def test_the_page_of_a_run_that_was_made_of_others_shows_the_test_rows_that_were_measured(trained, report, monkeypatch):
    runs = [str(directory(trained, kind)) for kind in ("iris", "iris2")]
    monkeypatch.setattr(sys, "argv", ["trainctl", "ensemble", *runs, "output=both"])
    assert cli.main() == 0
    assert report("both")[0] == 0
    texts = read(Path("both/report.html").read_bytes()).texts
    assert "Measured on the 22 test rows, with the weights of step 0." in texts
    assert not [text for text in texts if "not looked at" in text]


def test_runs_of_different_data_are_not_compared(trained, report):
    code, _, err = report(directory(trained, "iris"), directory(trained, "codes"), "output=both.html")
    assert code == 0, err
    reader = read(Path("both.html").read_bytes())
    assert "distinguishable" not in headings(reader)
    assert any("different data" in text for text in reader.texts)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing"], 4, "nothing: no such run"),
        (["RUN", "rows=0"], 2, "rows=0: expected a whole number"),
        (["RUN", "rows=501"], 2, "rows=501: expected a whole number in [1, 500]"),
        (["RUN", "split=tset"], 2, "split=tset: no such split; did you mean test?"),
        (["RUN", "outpt=x"], 2, "outpt=x"),
        (["RUN", "loop.epochs=3"], 2, "loop.epochs=3: cannot change in an existing run"),
        (["RUN", "RUN"], 2, "report was given this run twice"),
        (["RUN", "output=taken"], 2, "output=taken: file already exists"),
    ],
)
def test_wrong_words_are_refused(trained, report, words, code, message):
    Path("taken").write_text("")
    run = directory(trained, "iris")
    found, _, err = report(*(run if word == "RUN" else word for word in words))
    assert (found, message in err) == (code, True), err
    assert Path("taken").read_text() == ""
