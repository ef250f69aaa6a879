"""Explain rows and runs, as a user would."""

import csv
import io
import json
import math
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import is_drawn
from trainctl import cli
from trainctl.report import mistake_plots as plots

QUICK = "threads=1 output.plots=false"
CITIES = ("Bern", "$\\frac$", "_Ulm")
SUMMARY = ["row", "prediction", "explained", "value", "baseline_value", "sum", "gap", "steps"]


def write_table(path: Path) -> None:
    """Write a table in which a number and a category with strange names decide, and another number does not."""
    source = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["$age_^{$", "city", "noise", "=bought"])
        for _ in range(150):
            age, city = source.uniform(0, 100), source.choice(CITIES)
            bought = age + (60 if city == "Bern" else 0) > 75
            cells = [f"{age:.2f}" if source.random() > 0.05 else "", city, f"{source.gauss(0, 1):.3f}"]
            writer.writerow([*cells, "=yes" if bought else "-no"])


def write_texts(path: Path) -> None:
    source = random.Random(0)
    with path.open("w") as file:
        print("review,mood", file=file)
        for _ in range(60):
            good = source.random() < 0.5
            print(f"the film was {'great' if good else 'awful'},{'good' if good else 'bad'}", file=file)


def write_waves(path: Path) -> None:
    with path.open("w") as file:
        print("t,load,other", file=file)
        for step in range(120):
            print(f"{step},{math.sin(step / 5):.4f},{math.cos(step / 3):.4f}", file=file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a directory with one run for each kind of rows."""
    root = tmp_path_factory.mktemp("trained")
    write_table(root / "people.csv")
    write_texts(root / "reviews.csv")
    write_waves(root / "waves.csv")
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8), dtype=np.uint8)
    np.save(root / "images.npy", images)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, typed in {
            "table": "dataset=csv dataset.path=people.csv dataset.target==bought clean=impute model=mlp model.hidden=[16]"
            " loop.max_steps=150 optimizer.lr=0.01",
            "images": "dataset=digits model=cnn model.channels=[4] loop.max_steps=20",
            "texts": "dataset=text dataset.path=reviews.csv dataset.text=review dataset.target=mood dataset.level=words"
            " model=rnn model.cell=lstm model.hidden_size=8 loop.max_steps=60 optimizer.lr=0.02 loop.batch_size=16",
            "letters": "dataset=text dataset.path=reviews.csv dataset.text=review dataset.target=mood model=rnn"
            " model.hidden_size=4 loop.max_steps=1",
            "series": "dataset=series dataset.path=waves.csv dataset.time=t dataset.columns=[load,other] dataset.window=6"
            " model=rnn model.hidden_size=6 scale=minmax loop.max_steps=10",
            "numbers": "dataset=diabetes model=mlp model.hidden=[8] model.norm=batch loop.max_steps=30 scale=robust",
            "codes": "dataset=digits model=autoencoder model.hidden=[16] model.bottleneck=3 loop.max_steps=10",
            "plain": "dataset=iris model=linear loop.max_steps=20",
        }.items():
            patch.setattr(sys, "argv", ["trainctl", *typed.split(), *QUICK.split(), f"output.root={name}"])
            assert cli.main() == 0
    return root


@pytest.fixture
def explain(trained, capfd, monkeypatch):
    """Return a function that explains a run from another directory; it returns exit code, output and messages."""

    def run(kind, *words, verb="explain"):
        (directory,) = (path.parent for path in (trained / kind).glob("*/config.yaml"))
        capfd.readouterr()
        few = (
            ["rows=1"] if verb == "explain" and not any(word.startswith("rows=") for word in words) else []
        )  # to be fast
        monkeypatch.setattr(sys, "argv", ["trainctl", verb, str(directory), *words, *few])
        code = cli.main()
        return code, *capfd.readouterr()

    return run


def read(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def painted(path):
    with Image.open(path) as image:
        assert min(image.size) > 100
    return is_drawn(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "file", "features"),
    [("table", "people.csv", ["$age_^{$", "city", "noise"]), ("images", "images.npy", None), ("numbers", None, None),
     ("series", "waves.csv", None), ("codes", "images.npy", None)],
)  # fmt: skip
def test_rows_have_attributions_that_add_up_in_a_csv_and_in_a_picture(explain, trained, kind, file, features):
    given = trained / file if file else Path("patients.npy")
    if not file:
        np.save(given, np.random.default_rng(0).normal(0, 0.05, (4, 10)))
    code, out, err = explain(kind, str(given), "output=out", "rows=3")
    assert code == 0, err
    assert "wrote out: rows.png, mean.png" in err
    rows, values = read("out/rows.csv"), read("out/attributions.csv")
    assert len(rows) == len(values)
    assert features is None or list(values[0]) == ["row", *features]
    for row, attributions in zip(rows, values, strict=True):
        total = sum(float(value) for name, value in attributions.items() if name != "row")
        assert total == pytest.approx(float(row["sum"]), rel=1e-4, abs=1e-4)
        change = float(row["value"]) - float(row["baseline_value"])
        assert float(row["gap"]) == pytest.approx(abs(float(row["sum"]) - change) / abs(change), rel=1e-3, abs=1e-4)
        assert int(row["steps"]) >= 16
    assert painted("out/rows.png")
    assert painted("out/mean.png")
    written = json.loads(Path("out/explain.json").read_text())
    assert (written["rows"], written["options"]["method"]) == (len(rows), "integrated_gradients")
    assert "F(x)-F(x')" in out
    assert "baseline x'" in out


def test_the_explained_number_is_what_predict_says(explain, trained):
    for kind, score, of in (
        ("table", "log_odds", lambda p: math.log(p / (1 - p))),
        ("images", "probability", lambda p: p),
    ):
        file = str(trained / ("people.csv" if kind == "table" else "images.npy"))
        assert explain(kind, file, f"score={score}", f"output={kind}")[0] == 0
        predicted = list(csv.DictReader(io.StringIO(explain(kind, file, verb="predict")[1])))
        for row, said in zip(read(f"{kind}/rows.csv"), predicted, strict=True):
            assert row["prediction"] == row["explained"] == said["prediction"]
            assert float(row["value"]) == pytest.approx(of(float(said[f"p_{said['prediction']}"])), rel=1e-2, abs=1e-3)


def test_a_regression_is_explained_in_its_unit(explain):
    np.save("patients.npy", np.random.default_rng(0).normal(0, 0.05, (4, 10)))
    assert explain("numbers", "patients.npy", "output=out")[0] == 0
    predicted = list(csv.DictReader(io.StringIO(explain("numbers", "patients.npy", verb="predict")[1])))
    for row, said in zip(read("out/rows.csv"), predicted, strict=True):
        assert float(row["value"]) == pytest.approx(float(said["progression"]), rel=1e-5)


def test_the_error_of_a_reconstruction_is_explained(explain, trained):
    assert explain("codes", str(trained / "images.npy"), "output=out")[0] == 0
    predicted = list(csv.DictReader(io.StringIO(explain("codes", str(trained / "images.npy"), verb="predict")[1])))
    for row, said in zip(read("out/rows.csv"), predicted, strict=True):
        assert float(row["value"]) == pytest.approx(float(said["rmse"]) ** 2, rel=1e-4)


def test_columns_that_decide_have_the_largest_attributions(explain, trained):
    assert explain("table", str(trained / "people.csv"), "output=out")[0] == 0
    values = read("out/attributions.csv")
    mean = {name: np.mean([abs(float(row[name])) for row in values]) for name in values[0] if name != "row"}
    assert mean["noise"] < 0.5 * min(mean["$age_^{$"], mean["city"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["integrated_gradients", "saliency", "occlusion"])
def test_tokens_of_texts_are_explained_by_their_words(explain, method):
    Path("new.txt").write_text("the film was great\n\nthe unheard film was awful\n")
    code, out, err = explain("texts", "new.txt", f"method={method}", "output=out")
    assert code == 0
    values = read("out/attributions.csv")
    assert [row["token"] for row in values[:4]] == ["the", "film", "was", "great"]
    assert [row["position"] for row in values] == ["0", "1", "2", "3", *map(str, range(4))]  # cut after 4 tokens
    assert values[5]["token"] == "<unknown>"
    if method != "saliency":  # of a token that decides already, the gradient may be small
        assert max(values[:4], key=lambda row: float(row["attribution"]))["token"] == "great"
    assert [row["line"] for row in read("out/rows.csv")] == ["1", "3"]
    assert "padding" in out
    assert "not in the run's vocabulary" in err
    assert painted("out/rows.png")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "names"), [("table", ["mean", "zero"]), ("images", ["black", "mean"]),
                                             ("texts", ["padding", "unknown"]), ("series", ["mean", "zero"])])  # fmt: skip
def test_each_kind_of_rows_has_its_baselines(explain, trained, kind, names):
    file = {"table": "people.csv", "images": "images.npy", "series": "waves.csv"}.get(kind)
    given = str(trained / file) if file else "new.txt"
    Path("new.txt").write_text("the film was great\n")
    bases = []
    for name in names:
        code, _out, err = explain(kind, given, f"baseline={name}", f"output={name}")
        assert code == 0, err
        bases.append(read(f"{name}/rows.csv")[0]["baseline_value"])
    assert bases[0] != bases[1]
    code, _, err = explain(kind, given, "baseline=sea", "output=no")
    assert (code, Path("no").exists()) == (2, False)
    assert f"choose from: {', '.join(names)}" in err


def test_the_baseline_of_standardized_columns_is_the_mean_of_the_training_rows(explain, trained):
    """Without scaling by mean and deviation, the training rows are read for their mean."""
    np.save("zero.npy", np.zeros((1, 10)))
    np.save("mean.npy", np.zeros((1, 10)))
    assert explain("numbers", "zero.npy", "baseline=zero", "output=zero")[0] == 0
    assert explain("numbers", "zero.npy", "baseline=mean", "output=mean")[0] == 0
    zero, mean = (float(read(f"{name}/rows.csv")[0]["baseline_value"]) for name in ("zero", "mean"))
    assert float(read("zero/rows.csv")[0]["sum"]) == 0
    assert zero != mean


def test_another_class_can_be_explained(explain, trained):
    code, out, _ = explain("table", str(trained / "people.csv"), "class==yes", "output=out")
    assert code == 0
    assert {row["explained"] for row in read("out/rows.csv")} == {"=yes"}
    assert {row["prediction"] for row in read("out/rows.csv")} == {"=yes", "-no"}
    assert "class =yes" in out


def test_names_are_quoted_for_a_spreadsheet_only_if_asked(explain, trained):
    file = str(trained / "people.csv")
    assert explain("table", file, "output=raw")[0] == explain("table", file, "output=safe", "spreadsheet=true")[0] == 0
    assert {row["prediction"] for row in read("raw/rows.csv")} == {"=yes", "-no"}
    assert {row["prediction"] for row in read("safe/rows.csv")} == {"'=yes", "'-no"}


def test_rows_that_do_not_add_up_are_said(explain, trained):
    code, _, err = explain("table", str(trained / "people.csv"), "steps=1", "output=out")
    assert code == 0
    assert "rows do not add up to within 1 % after 1 step: row " in err
    assert json.loads(Path("out/explain.json").read_text())["incomplete"] > 0


def test_occlusion_covers_squares_of_a_size(explain, trained):
    file = str(trained / "images.npy")
    assert explain("images", file, "method=occlusion", "patch=4", "output=out")[0] == 0
    (values, *_) = read("out/attributions.csv")
    corner = {values[f"y{y}_x{x}"] for y in range(4) for x in range(4)}
    assert len(corner) == 1
    assert values["y0_x4"] not in corner
    assert len({value for name, value in values.items() if name != "row"}) == 4


def test_files_that_cannot_be_read_are_reported_and_the_others_explained(explain, trained):
    Path("many").mkdir()
    Path("many/bad.csv").write_text("a,b\n1,2\n")
    Path("many/good.csv").write_bytes((trained / "people.csv").read_bytes())
    code, _, err = explain("table", "many", "output=out")
    assert code == 3
    assert "many/bad.csv" in err
    assert "1 of 2 files is not explained" in err
    assert {row["file"] for row in read("out/rows.csv")} == {"many/good.csv"}
    code, _, err = explain("table", "many/bad.csv", "output=none")
    assert (code, Path("none").exists()) == (3, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pictures"),
    [
        ("table", "importance mistakes filters embedding calibration"),
        ("images", "importance mistakes filters embedding calibration"),
        ("texts", "mistakes embedding calibration"),
        ("series", "importance mistakes embedding calibration"),
        ("numbers", "importance mistakes filters embedding calibration"),
        ("codes", "importance mistakes filters embedding"),
        ("plain", "importance mistakes filters calibration"),
    ],
)
def test_a_run_is_explained_as_a_whole(explain, kind, pictures):
    code, out, err = explain(kind, "output=out", "repeats=2")
    assert code == 0, err
    assert sorted(path.stem for path in Path("out").glob("*.png")) == sorted(pictures.split())
    assert all(painted(path) for path in Path("out").glob("*.png"))
    written = json.loads(Path("out/explain.json").read_text())
    assert written["rows"] > 0
    assert written["split"] == "test"
    if kind == "table":
        cost = {row["column"]: float(row["drop_in_accuracy"]) for row in read("out/importance.csv")}
        assert abs(cost["noise"]) < 0.1 < min(cost["$age_^{$"], cost["city"])
        assert "expected calibration error" in out
        worst = read("out/mistakes.csv")
        assert len(worst) == written["mistakes"]
        for row in worst:
            assert row["true"] != row["predicted"]


def test_a_mistake_names_the_line_of_its_file(explain, trained):
    assert explain("table", "output=out", "split=train", "repeats=1")[0] == 0
    lines = (trained / "people.csv").read_text().splitlines()
    mistakes = read("out/mistakes.csv")
    assert mistakes
    assert all(lines[int(row["line"]) - 1].endswith(f",{row['true']}") for row in mistakes)
    chances = [float(row["p_true"]) for row in mistakes]
    assert chances == sorted(chances)


def test_the_text_of_a_mistake_is_written_as_it_was_typed(explain, monkeypatch):
    labels, real = [], plots.mistaken_classes

    def drawn(bars, *further):
        labels.extend(label for label, *_ in bars)
        real(bars, *further)

    monkeypatch.setattr(plots, "mistaken_classes", drawn)
    for kind in ("letters", "texts"):
        assert explain(kind, "output=" + kind, "repeats=1")[0] == 0
    assert set(labels) <= {"the film was great", "the film was awful"}
    assert labels


@pytest.mark.slow
def test_codes_are_embedded_by_neighbourhood_too(explain):
    assert explain("plain", "embedding=tsne", "output=a")[0] == 0  # a linear model has no code to embed
    assert not Path("a/embedding.png").exists()
    assert explain("codes", "embedding=tsne", "repeats=1", "output=b")[0] == 0
    assert list(read("b/embedding.csv")[0]) == ["row", "x", "y", "true"]


def test_the_default_is_a_numbered_directory_in_the_run_and_nothing_else_changes(explain, trained):
    def contents():
        (run,) = (path.parent for path in (trained / "plain").glob("*/config.yaml"))
        return run, {
            path: path.read_bytes() for path in run.rglob("*") if path.is_file() and "explain" not in path.parts
        }

    run, before = contents()
    np.save("rows.npy", np.ones((2, 4)))
    for number in ("1", "2"):
        code, _, err = explain("plain", "rows.npy")
        assert code == 0
        assert f"explain/{number}: rows.png" in err
    assert contents()[1] == before
    assert sorted(path.name for path in (run / "explain").iterdir()) == ["1", "2"]


def test_with_output_the_run_stays_as_it_is(explain, trained):
    (run,) = (path.parent for path in (trained / "images").glob("*/config.yaml"))
    before = sorted(run.rglob("*"))
    assert explain("images", str(trained / "images.npy"), "output=out")[0] == 0
    assert explain("images", "output=over", "repeats=1")[0] == 0
    assert sorted(run.rglob("*")) == before


def test_output_that_exists_or_cannot_be_created_is_exit_5(explain, trained):
    Path("out").mkdir()
    file = str(trained / "images.npy")
    code, _, err = explain("images", file, "output=out")
    assert (code, err) == (2, "trainctl: output=out: directory already exists; remove it, or choose another name\n")
    Path("taken").write_text("x")
    code, _, err = explain("images", file, "output=taken/out")
    assert code == 5
    assert "taken" in err


def test_a_link_in_the_run_is_not_followed(explain, trained):
    (run,) = (path.parent for path in (trained / "codes").glob("*/config.yaml"))
    Path("elsewhere").mkdir()
    (run / "explain").symlink_to(Path("elsewhere").absolute())
    try:
        code, _, err = explain("codes", str(trained / "images.npy"))
    finally:
        (run / "explain").unlink()
    assert code == 5
    assert "explain: is a link, not a directory; nothing in a run directory may be a link" in err
    assert os.listdir("elsewhere") == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("method=magic", 2, "method=magic: no such method"),
        ("method=saliency", 2, "method=saliency: explains rows: give an INPUT"),
        ("rows.npy method=permutation", 2, "method=permutation: needs rows with known targets: leave INPUT out"),
        ("rows.npy split=val", 2, "split=val: does not apply here"),
        ("class=setosa", 2, "class=setosa: does not apply here"),
        ("rows.npy class=rose", 2, "class=rose: no such class"),
        ("rows.npy target=x", 2, "target=x: only a regression has targets"),
        ("rows.npy patch=3", 2, "patch=3: only method=occlusion"),
        ("rows.npy method=occlusion patch=3", 2, "patch=3: the rows of this run are not images, but of kind table"),
        ("rows.npy steps=0", 2, "steps=0: expected a whole number"),
        ("rows.npy steps=9999999", 2, "expected a whole number in [1, 4096]"),
        ("rows.npy rows=200", 2, "expected a whole number in [1, 100]"),
        ("repeats=zero", 2, "repeats=zero: expected a whole number"),
        ("rows.npy score=odds", 2, "score=odds: no such score"),
        ("rows.npy optimizer.lr=1", 2, "optimizer.lr"),
        ("nothing.npy", 3, "nothing.npy: no such file"),
        ("bad.npy", 3, "bad.npy"),
        ("which=first", 2, "which=first: no such which"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(explain, trained, words, code, message):
    np.save("rows.npy", np.ones((2, 4)))
    Path("bad.npy").write_bytes(b"no array")
    found, out, err = explain("plain", *words.split(), "output=out")
    assert found == code, err
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert not Path("out").exists()


def test_a_run_that_does_not_exist_is_exit_4(command):
    done = command("explain", "nowhere")
    assert (done.returncode, done.stdout) == (4, "")
    assert "nowhere: no such run" in done.stderr
    assert command("explain").returncode == 2
