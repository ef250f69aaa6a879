"""Files of one's own are trained on, evaluated and predicted end to end, from other directories too."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("loop.epochs=8", "output.plots=false")
DIRTY = (
    "clean=impute", "clean.strategy=median", "clean.outliers=clip", "clean.outlier_rule=iqr", "clean.duplicates=drop",
)  # fmt: skip


@pytest.fixture
def run(command: Run) -> Run:
    """Return a function that runs the command in a directory."""
    return lambda folder, *arguments: command(*arguments, cwd=folder)


def only_run(folder: Path) -> Path:
    (found,) = (path for path in (folder / "runs").iterdir() if path.is_dir())
    return found


def patients(folder: Path, rows: int = 300) -> None:
    """Write a CSV with missing values, categories, an index, an outlier and duplicates; the answer follows from age and city."""
    generator = np.random.default_rng(0)
    lines = ["id,age,income,city,ill"]
    for row in range(rows):
        age, income, city = generator.normal(50, 10), generator.lognormal(), ["Bern", "Ulm", "Graz"][row % 3]
        ill = "yes" if age + 15 * (city == "Ulm") > 55 else "no"
        cells = [str(row), f"{age:.2f}", f"{income:.3f}", city, ill]
        if row % 7 == 3:
            cells[1 + row % 3] = ["", "NA", "?"][row % 3]
        lines.append(",".join(cells))
    lines[5] = "4,1000000,1,Ulm,yes"
    lines += [lines[10], lines[11]]
    (folder / "patients.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_a_table_with_missing_values_categories_and_an_outlier(run: Run, tmp_path: Path, elsewhere: Path) -> None:
    patients(tmp_path)
    done = run(
        tmp_path, "dataset=csv", "dataset.path=patients.csv", "dataset.target=ill", "dataset.drop=[id]", *DIRTY, *QUICK
    )
    assert done.returncode == 0, done.stderr
    assert "dropped 2 duplicate rows" in done.stdout
    assert "rows (median): " in done.stdout
    assert "outliers (iqr 1.5): " in done.stdout
    directory = only_run(tmp_path)
    assert json.loads((directory / "run.json").read_text())["data"]["cleaned"][0] == "dropped 2 duplicate rows"
    trained = json.loads((directory / "summary.json").read_text())["metrics"]
    assert trained["test/accuracy"] > 0.8

    measured = run(elsewhere, "evaluate", str(directory), "format=json")
    assert measured.returncode == 0, measured.stderr
    assert measured.stderr == ""
    assert json.loads(measured.stdout)["metrics"] == {key: trained[key] for key in trained if key.startswith("test/")}

    (elsewhere / "new.csv").write_text("city,income,age,more\nUlm,1.5,80,x\nBern,NA,20,y\n?,1,1e9,z\n")
    predicted = run(elsewhere, "predict", str(directory), "new.csv")
    assert predicted.returncode == 0, predicted.stderr
    rows = list(csv.DictReader(io.StringIO(predicted.stdout)))
    assert [row["prediction"] for row in rows] == ["yes", "no", "yes"]

    (elsewhere / "new.csv").write_text("city,income,age\nUlm,1.5,80\nRome,1,20\n")
    noted = run(elsewhere, "predict", str(directory), "new.csv")
    assert noted.returncode == 0
    assert "note: column city: 'Rome' (1 row) did not occur in the training data" in noted.stderr
    refused = run(elsewhere, "predict", str(directory), "new.csv", "dataset.unknown=error")
    assert refused.returncode == 3
    assert (
        "line 3, column city: 'Rome' is not one of the categories in the training data (Bern, Graz, Ulm)"
        in refused.stderr
    )

    lines = (tmp_path / "patients.csv").read_text(encoding="utf-8-sig").splitlines()
    (elsewhere / "later.csv").write_text(
        "\n".join(
            re.sub(r"(?<=\d),[\d.]+(?=,(Bern|Ulm))", ",NA", line.partition(",")[2])
            for line in lines
            if ",Graz," not in line
        )
    )  # without a category, without the index, and without a single income
    other = run(elsewhere, "evaluate", str(directory), "dataset.path=later.csv", "format=json")
    assert other.returncode == 0, other.stderr
    assert "this is not the data that the run was trained with" in other.stderr
    assert json.loads(other.stdout)["metrics"]["test/accuracy"] > 0.8


def test_missing_values_are_located_where_no_cleaning_is_chosen(run: Run, tmp_path: Path) -> None:
    patients(tmp_path)
    done = run(tmp_path, "dataset=csv", "dataset.path=patients.csv", "dataset.target=ill")
    assert done.returncode == 3
    assert (
        "values of the inputs are missing or infinite, the first in row 3 (patients.csv, line 5), column age"
        in done.stderr
    )
    assert "clean=impute" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_regression_with_dropped_rows_is_resumed_and_predicted_in_its_unit(run: Run, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=200)
    (tmp_path / "price.csv").write_text(
        "size;price\n" + "".join(f"{size:.4f};{1000 + 50 * size:.2f}\n" for size in values) + ";5\n3;\n"
    )
    done = run(
        tmp_path, "dataset=csv", "dataset.path=price.csv", "dataset.target=price", "dataset.delimiter=semicolon", "loss=mse",
        "clean=drop", "clean.outliers=drop", "clean.outlier_limit=2", "loop.stop_at_step=20", *QUICK,
    )  # fmt: skip
    assert done.returncode in (0, 130), done.stderr
    assert "dropped 2 rows with missing values (size 1, target 1)" in done.stdout
    assert "training rows with outliers (zscore 2)" in done.stdout
    directory = only_run(tmp_path)
    resumed = run(tmp_path, "resume", str(directory), "loop.stop_at_step=null")
    assert resumed.returncode == 0, resumed.stderr
    (tmp_path / "new.csv").write_text("size\n0\n")
    (tmp_path / "gap.csv").write_text("size\n0\n\nNA\n")
    predicted = run(tmp_path, "predict", str(directory), "new.csv").stdout.splitlines()
    assert predicted[0] == "row,price"
    assert 950 < float(predicted[1].split(",")[1]) < 1050
    refused = run(tmp_path, "predict", str(directory), "gap.csv")
    assert refused.returncode == 3
    assert "row 1, column size has a missing value" in refused.stderr


def test_texts_are_trained_on_evaluated_and_predicted_with_a_model_that_embeds_tokens(
    run: Run, tmp_path: Path, elsewhere: Path
) -> None:
    generator = np.random.default_rng(0)
    fill = ["it", "was", "a", "day", "and", "so"]
    lines = []
    for row in range(200):
        words = [*generator.choice(fill, 4), ["Good", "bad"][row % 2], *generator.choice(fill, row % 3)]
        lines.append(f"{' '.join(words)},{['yes', 'no'][row % 2]}\n")
    (tmp_path / "texts.csv").write_text("words,y\n" + "".join(lines))
    for folder in (tmp_path, elsewhere):
        (folder / "mine" / "model").mkdir(parents=True)
        (folder / "mine" / "model" / "bag.py").write_text(
            "from torch import nn\n\n"
            "def bag(*, input_shape, outputs, vocabulary_size):\n"
            '    """Add up the embeddings of tokens."""\n'
            "    return nn.EmbeddingBag(vocabulary_size, outputs, mode='sum', padding_idx=0)\n"
        )
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "bag.yaml").write_text("name: bag\n")
    own = "components=[mine]"
    done = run(
        tmp_path, own, "model=bag", "dataset=text", "dataset.path=texts.csv", "dataset.text=words", "dataset.target=y",
        "dataset.level=words", "optimizer.lr=0.05", *QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    directory = only_run(tmp_path)
    trained = json.loads((directory / "summary.json").read_text())["metrics"]
    assert trained["test/accuracy"] > 0.95

    measured = run(elsewhere, "evaluate", str(directory), own, "format=json")
    assert measured.returncode == 0, measured.stderr
    assert measured.stderr == ""
    assert json.loads(measured.stdout)["metrics"]["test/loss"] == trained["test/loss"]

    (elsewhere / "new.csv").write_text("n,words\n1,GOOD unheard\n2,bad bad\n")
    (elsewhere / "new.txt").write_text("GOOD unheard\n\nbad bad\n")
    for name in ("new.csv", "new.txt"):
        predicted = run(elsewhere, "predict", str(directory), name, own)
        assert predicted.returncode == 0, predicted.stderr
        assert [row["prediction"] for row in csv.DictReader(io.StringIO(predicted.stdout))] == ["yes", "no"]


def test_a_table_as_people_write_it_with_several_targets_is_learned_and_predicted(
    run: Run, tmp_path: Path, elsewhere: Path
) -> None:
    lines = ["sep=;", "# exported", "Kunde;Menge;am;Preis;Rabatt"]
    for row in range(80):
        amount = 1000 + 37.5 * (row % 9)
        price = f"{amount * 3:,.2f}".translate(str.maketrans(",.", ".,"))
        lines.append(
            f"K{row};{amount:.1f}".replace(".", ",") + f";{row % 28 + 1}.{row // 28 + 1}.2024;{price} EUR;{row % 9}%"
        )
    (tmp_path / "verkauf.csv").write_bytes("\n".join(lines).encode("utf-16"))
    done = run(
        tmp_path, "dataset=csv", "dataset.path=verkauf.csv", "dataset.target=[Preis,Rabatt]", "dataset.drop=[Kunde]",
        "loss=mse", "loop.epochs=2", "output.plots=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert "task     regression of Preis, Rabatt; one output for each target" in shown
    assert "numbers  Menge (written like 1234,5)" in shown
    assert "dates    am (days since the first)" in shown
    assert "unused   Kunde (dataset.drop)" in shown
    (elsewhere / "new.tsv").write_text("Kunde\tam\tMenge\nK1\t1.2.2024\t1.234,5\n")
    predicted = run(elsewhere, "predict", str(only_run(tmp_path)), "new.tsv", "id=Kunde", "dataset.decimal=comma")
    assert predicted.returncode == 0, predicted.stderr
    header, row = csv.reader(io.StringIO(predicted.stdout))
    assert header == ["row", "Kunde", "Preis", "Rabatt"]
    assert row[:2] == ["0", "K1"]


def test_a_table_without_a_target_is_reconstructed_and_nothing_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text("a,b,c\n" + "".join(f"{row % 7},{row % 5},{row % 3}\n" for row in range(60)))
    words = ("dataset=csv", "dataset.path=my.csv", "loop.epochs=2", "output.plots=false")
    done = run(tmp_path, *words, "model=autoencoder", "loss=mse")
    assert done.returncode == 0, done.stderr
    assert "task     none: there is no target" in done.stdout
    refused = run(tmp_path, *words)
    assert refused.returncode == 2
    assert "dataset.target=null: model=mlp learns to predict a column; set dataset.target=COLUMN" in refused.stderr


def test_a_loss_of_the_other_task_is_answered_with_the_likelier_setting_first(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(
        "x,few,many,text\n" + "".join(f"{row},{row % 6},{row % 26},{'ab'[row % 2]}\n" for row in range(90))
    )
    expected = {
        ("few", "loss=mse"): "set dataset.task=regression, or loss=cross_entropy",
        ("many", "loss=cross_entropy"): "set dataset.task=classification, or loss=mse",
        ("text", "loss=mse"): "set loss=cross_entropy",
    }
    for (target, loss), message in expected.items():
        refused = run(tmp_path, "dataset=csv", "dataset.path=my.csv", f"dataset.target={target}", loss)
        assert refused.returncode == 2
        assert refused.stderr.strip().endswith(message)


def test_a_series_is_forecast_beyond_the_end_of_a_file(run: Run, tmp_path: Path, elsewhere: Path) -> None:
    rows = "".join(f"{row},{row % 8},{10 * ((row + 4) % 8)}\n" for row in range(300))
    (tmp_path / "wave.csv").write_text(f"hour,load,price\n{rows}")
    done = run(
        tmp_path, "dataset=series", "dataset.path=wave.csv", "dataset.columns=[load,price]", "dataset.window=8",
        "dataset.horizon=2", "loop.epochs=30", "output.plots=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    directory = only_run(tmp_path)
    measured = run(elsewhere, "evaluate", str(directory), "format=json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["metrics"]["test/r2"] > 0.9
    # Columns in another order, and one that the run does not read.
    lines = [f"{10 * ((row + 4) % 8)},note,{row % 8}\n" for row in range(12)]
    (elsewhere / "last.csv").write_text("price,more,load\n" + "".join(lines))
    predicted = run(elsewhere, "predict", str(directory), "last.csv")
    assert predicted.returncode == 0, predicted.stderr
    cells = list(csv.reader(io.StringIO(predicted.stdout)))
    assert cells[0] == ["row", "load+1", "price+1", "load+2", "price+2"]
    assert len(cells) == 1 + 12 - 8 + 1
    assert [float(value) for value in cells[-1][1::2]] == pytest.approx([4, 5], abs=1)
    assert [float(value) for value in cells[-1][2::2]] == pytest.approx([0, 10], abs=10)
    (elsewhere / "gap.csv").write_text("price,load\n" + "1,2\n" * 9 + ",3\n")
    refused = run(elsewhere, "predict", str(directory), "gap.csv")
    assert refused.returncode == 3
    assert "row 2, column price has a missing value" in refused.stderr
    (elsewhere / "short.csv").write_text("load,price\n1,2\n2,3\n")
    refused = run(elsewhere, "predict", str(directory), "short.csv")
    assert refused.returncode == 3
    assert "has 2 rows, but this run reads windows of 8" in refused.stderr


def test_a_folder_of_images_is_learned_and_a_damaged_one_named(run: Run, tmp_path: Path, elsewhere: Path) -> None:
    from PIL import Image

    for row in range(60):
        folder = tmp_path / "pets" / ["cat", "dog"][row % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (200 - row, 0, 0) if row % 2 else (0, 0, 200 - row)).save(folder / f"{row}.png")
    settings = ("dataset=image_folder", "dataset.path=pets", "dataset.size=6", "dataset.cache=cache")
    done = run(tmp_path, *settings, *QUICK)
    assert done.returncode == 0, done.stderr
    directory = only_run(tmp_path)
    measured = run(elsewhere, "evaluate", str(directory), "format=json")
    assert json.loads(measured.stdout)["metrics"]["test/accuracy"] == 1
    assert [row["class"] for row in json.loads(measured.stdout)["classes"]] == ["cat", "dog"]
    Image.new("RGB", (30, 30), (150, 0, 0)).save(elsewhere / "new.png")
    predicted = run(elsewhere, "predict", str(directory), "new.png")
    assert [row["prediction"] for row in csv.DictReader(io.StringIO(predicted.stdout))] == ["dog"]

    (tmp_path / "pets" / "cat" / "bad.png").write_bytes(b"no image")
    refused = run(tmp_path, *settings, *QUICK)
    assert refused.returncode == 3
    assert "pets/cat/bad.png: cannot be read as an image" in refused.stderr
