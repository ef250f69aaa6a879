"""From a file to settings: what is recognised, what is asked for, and that typed words win."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainctl.api import training
from trainctl.command.flags import with_file_expanded
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat import cells
from trainctl.fileformat.decompress import read_unpacked
from trainctl.fileformat.recognise import recognise
from trainctl.run import assemble
from trainctl.settings import compose, derive, from_file


def table(path: Path, header: str, row, rows: int = 60) -> Path:
    path.write_text(header + "\n" + "\n".join(row(number) for number in range(rows)) + "\n")
    return path


def flowers(path: Path, last: str = "species") -> Path:
    kinds = ("setosa", "virginica", "versicolor")
    return table(path, f"id,length,width,island,{last}",
                 lambda n: f"{n + 1},{n % 7 + 0.5},{'' if n == 4 else n % 5 + 0.25},{'AB'[n % 2]},{kinds[n % 3]}")  # fmt: skip


@pytest.mark.parametrize("name", ["species", "Label", "CLASS", "y"])
def test_the_target_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    found = recognise(flowers(tmp_path / "f.csv", name))
    assert (found.dataset, found.settings) == ("csv", {"target": name, "drop": ["id"]})
    assert found.groups == {"clean": "impute"}
    assert any("by its name" in reason for reason in found.reasons)
    assert any("width" in reason for reason in found.reasons)


@pytest.mark.parametrize("ending", ["xlsx", "ods"])
def test_a_spreadsheet_is_to_be_saved_as_csv(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a.{ending}").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=rf"a\.{ending}: a spreadsheet; save it as CSV"):
        recognise(tmp_path / f"a.{ending}")


def test_a_table_of_identifiers_says_how_to_use_them(tmp_path: Path) -> None:
    path = table(tmp_path / "n.csv", "number,target", lambda n: f"{n + 1},{'xy'[n % 2]}", 4)
    with pytest.raises(
        ConfigError, match=r"nor categories: number; to use them nevertheless: trainctl (.*)$"
    ) as raised:
        recognise(path)
    words = shlex.split(str(raised.value).partition("nevertheless: trainctl ")[2])
    assert compose.compose(words).tree["dataset"]["target"] == "target"


def test_a_table_of_identifiers_with_numbers_as_targets_is_given_a_loss_for_them(tmp_path: Path) -> None:
    path = table(tmp_path / "it's a $x.csv", "number,price", lambda n: f"{n + 1},{n * 7 % 13}.5")
    with pytest.raises(ConfigError, match=r"to use them nevertheless: trainctl (.*)$") as raised:
        recognise(path)
    words = shlex.split(str(raised.value).partition("nevertheless: trainctl ")[2])
    found = compose.compose(words).tree
    assert (found["loss"]["name"], found["dataset"]["path"]) == ("mse", str(path))


def test_a_price_is_predicted_unless_it_is_a_series(tmp_path: Path) -> None:
    houses = table(tmp_path / "h.csv", "area,district,price", lambda n: f"{n}.5,{'ABC'[n % 3]},{n * 7 % 13}.5")
    found = recognise(houses)
    assert (found.settings, found.groups) == ({"target": "price"}, {"loss": "mse"})
    assert any("price, by its name" in reason for reason in found.reasons)
    homes = table(tmp_path / "f.csv", "price,area,district", lambda n: f"{n * 7 % 13}.5,{n}.5,{'ABC'[n % 3]}")
    assert recognise(homes).settings["target"] == "price"
    plans = table(tmp_path / "c.csv", "plan,price,left", lambda n: f"{'ab'[n % 2]},{n * 7 % 13}.5,{'yn'[n % 3 == 0]}")
    assert recognise(plans).settings["target"] == "left"
    gems = table(
        tmp_path / "d.csv", "cut,price,x,y,z", lambda n: f"{'ab'[n % 2]},{n * 7 % 13}.5,{n}.5,{n % 7}.5,{n % 5}.5"
    )
    assert recognise(gems).settings["target"] == "price"
    stock = table(tmp_path / "s.csv", "date,price", lambda n: f"2024-01-{n % 28 + 1:02d},{n}.5", 28)
    assert recognise(stock).dataset == "series"


def test_the_target_is_the_only_or_the_last_column_of_categories(tmp_path: Path) -> None:
    found = recognise(flowers(tmp_path / "f.csv", "kind"))
    assert found.settings["target"] == "kind"
    assert any("the last column" in reason for reason in found.reasons)
    only = table(tmp_path / "g.csv", "kind,a,b", lambda n: f"{'xyz'[n % 3]},{n * 7 % 5}.5,{n}.25")
    assert recognise(only).settings["target"] == "kind"


def some(number: int, step: float = 1.0) -> str:
    """Return a number that varies from row to row."""
    return f"{number * 37 % 101 * step + 0.25:.2f}"


# What people have: the columns of a table, a row of it, and the target, or two of which the first is taken.
USUAL = {
    "flats": ("area,rooms,city,rent", lambda n: f"{some(n)},{n % 4 + 1},{'AB'[n % 2]},{some(n, 9)}", "rent"),
    "insurance": ("age,sex,bmi,charges", lambda n: f"{n % 50},{'fm'[n % 2]},{some(n, 0.3)},{some(n, 90)}", "charges"),
    "cars": ("origin,weight,mpg", lambda n: f"{('usa', 'japan')[n % 2]},{some(n, 20)},{some(n, 0.3)}", "mpg"),
    "concrete": ("kind,cement,water,strength", lambda n: f"{'ab'[n % 2]},{some(n)},{some(n, 3)},{some(n, 0.5)}", "kind or strength"),
    "bicycles": ("season,temp,humidity,count", lambda n: f"{'wsuf'[n % 4]},{some(n)},{some(n, 2)},{n * 37 % 101}", "season or count"),
    "towns": ("town,area,people,water_use", lambda n: f"{'ABC'[n % 3]},{some(n)},{n * 37 % 101},{some(n, 5)}", "town or water_use"),
    "wines": ("grower,alcohol,acid", lambda n: f"{'ABC'[n % 3]},{some(n)},{some(n, 0.1)}", "grower or acid"),
    "yields": ("rain,field,yield", lambda n: f"{some(n)},{'NS'[n % 2]},{some(n, 2)}", "field or yield"),
    "flowers": ("length,width,variety", lambda n: f"{some(n)},{some(n, 2)},{'ab'[n % 2]}", "variety"),
    "cells": ("diagnosis,radius,texture", lambda n: f"{'MB'[n % 2]},{some(n)},{some(n, 2)}", "diagnosis"),
    "loans": ("income,amount,approved", lambda n: f"{some(n, 50)},{some(n)},{('yes', 'no')[n % 2]}", "approved"),
    "ship": ("survived,sex,age,fare", lambda n: f"{n % 2},{'fm'[n % 3 % 2]},{n % 60},{some(n)}", "survived"),
    "customers": ("months,plan,churn", lambda n: f"{n % 60},{'ab'[n % 3 % 2]},{n % 2}", "churn"),
    "animals": ("species,length,depth", lambda n: f"{'ABC'[n % 3]},{some(n)},{some(n, 3)}", "species"),
}  # fmt: skip


@pytest.mark.parametrize("name", USUAL)
def test_a_target_is_guessed_and_a_number_that_is_as_likely_is_named(tmp_path: Path, name: str) -> None:
    header, row, target = USUAL[name]
    taken, _, other = target.partition(" or ")
    found = recognise(table(tmp_path / f"{name}.csv", header, row))
    assert found.settings["target"] == taken
    assert any(f"for {other}: dataset.target={other}" in reason for reason in found.reasons) == bool(other)
    if other:
        assert recognise(tmp_path / f"{name}.csv", {"target": other}).groups["loss"] == "mse"


def test_a_target_that_is_not_plain_is_asked_for_with_the_columns(tmp_path: Path) -> None:
    path = table(tmp_path / "n.csv", "age,height,weight", lambda n: f"{n}.5,{n * 3 % 17}.5,{n * 7 % 13}.5")
    with pytest.raises(ConfigError, match=r"add dataset.target=COLUMN; the columns are age \(numbers\), height"):
        recognise(path)
    numbered = table(tmp_path / "i.csv", "id,age,height", lambda n: f"{n},{n * 3 % 17}.5,{n * 7 % 13}.5")
    with pytest.raises(ConfigError, match=r"the columns are id \(identifier, or empty\), age \(numbers\)"):
        recognise(numbered)
    found = recognise(path, {"target": "weight"})
    assert (found.settings, found.groups) == ({"target": "weight"}, {"loss": "mse"})
    with pytest.raises(DataError, match="column weigth_ is missing; did you mean weight"):
        recognise(path, {"target": "weigth_"})


def test_texts_are_read_if_the_table_is_about_them(tmp_path: Path) -> None:
    path = table(tmp_path / "r.csv", "review,stars,sentiment",
                 lambda n: f"a rather long sentence about movie number {n},{n % 5},{'pos' if n % 2 else 'neg'}", 130)  # fmt: skip
    found = recognise(path)
    assert (found.dataset, found.settings) == ("text", {"text": "review", "target": "sentiment"})
    assert found.groups == {"model": "rnn"}
    people = table(tmp_path / "p.csv", "name,sex,age,fare,ticket,class",
                   lambda n: f"Mrs Jane Doe the {n}th,{'mf'[n % 2]},{n % 70},{n * 1.37:.5f},PC {n * 977 % 10003},{n % 3}", 130)  # fmt: skip
    found = recognise(people)
    assert found.dataset == "csv"
    assert found.settings["drop"] == ["name", "ticket"]


def test_a_series_is_times_and_numbers(tmp_path: Path) -> None:
    path = table(
        tmp_path / "s.csv", "date,sales,visits", lambda n: f"2024-{n // 28 + 1:02}-{n % 28 + 1:02},{n}.5,{n % 7}"
    )
    found = recognise(path)
    assert (found.dataset, found.settings) == ("series", {"columns": ["sales", "visits"], "time": "date"})
    assert found.groups == {"model": "rnn", "loss": "mse"}


def test_arrays_and_directories(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.arange(20) % 2)
    assert recognise(tmp_path / "a.npz").groups == {"model": "cnn"}
    np.savez(tmp_path / "b.npz", x=np.zeros((20, 5)), y=np.arange(20) / 3)
    assert recognise(tmp_path / "b.npz").groups == {"model": "mlp", "loss": "mse"}
    for number in range(4):
        (tmp_path / "photos" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png")
    assert (recognise(tmp_path / "photos").dataset, recognise(tmp_path / "photos").groups) == (
        "image_folder",
        {"model": "cnn"},
    )
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x\n")
    assert recognise(tmp_path / "texts").dataset == "text"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x.pdf").write_text("x")
    for path, message in (
        (tmp_path / "empty", "contains no images"),
        (tmp_path / "empty" / "x.pdf", "not a kind of file"),
    ):
        with pytest.raises(ConfigError, match=message):
            recognise(path)


def test_the_loss_suits_a_target_in_any_format_of_numbers(tmp_path: Path) -> None:
    for name, written in {
        "comma": "{},5",
        "currency": "{}.25 €",
        "percent": "{},25 %",
        "thousands": "1.{:03d},75",
    }.items():
        path = tmp_path / f"{name}.csv"
        path.write_text("x;price\n" + "".join(f"{row * 7 % 50};{written.format(row)}\n" for row in range(60)))
        assert recognise(path, {"target": "price"}).groups == {"loss": "mse"}, name


def test_what_is_typed_wins(tmp_path: Path) -> None:
    path = flowers(tmp_path / "f.csv")
    typed = ["dataset.drop=[]", "clean=drop", "optimizer=sgd"]
    words = from_file.expanded(str(path), typed).words
    assert not [word for word in words if word.startswith(("dataset.drop", "clean"))]
    config = compose.compose([*words, *typed])
    assert (config.parts["clean"]["name"], config.parts["dataset"]["target"]) == ("drop", "species")


def test_the_table_is_read_as_the_typed_settings_say(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("\n".join(f"{n}.5,{n * 3 % 17}.5,{'xyz'[n % 3]}" for n in range(60)) + "\n")
    typed = ["dataset.header=false", "dataset.target=column_3"]
    found = from_file.expanded(str(path), typed).words
    assert not [word for word in found if word.startswith(("dataset.header", "dataset.target"))]
    assert from_file.expanded(str(path), ["dataset=text"]).words == [f"dataset.path={path}"]


def test_several_targets_are_measured_and_none_is_reconstruction(tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", "age,height,weight", lambda n: f"{n}.5,{n * 3 % 17}.5,{n * 7 % 13}.5")
    assert recognise(path, {"target": ["height", "weight"]}).groups == {"loss": "mse"}
    assert recognise(path, {"target": None}).groups["model"] == "autoencoder"


def test_the_words_stand_where_the_file_stood(tmp_path: Path) -> None:

    path = str(flowers(tmp_path / "f.csv"))
    words = with_file_expanded([path, "--cfg", "job", "--config-dir", "conf"])
    assert words[-4:] == ["--cfg", "job", "--config-dir", "conf"]
    assert words[0].startswith("dataset=csv")


@pytest.mark.parametrize(
    "before",
    [["--cfg", "job"], ["-c", "job", "seed=1"], ["--config-dir", "."], ["loop.epochs=2"], ["-i", "config"], ["-m"]],
)
def test_a_file_may_follow_flags_and_settings(tmp_path: Path, before: list[str]) -> None:
    words = with_file_expanded([*before, str(flowers(tmp_path / "f.csv"))])
    assert words[: len(before) + 1] == [*before, "dataset=csv"]


@pytest.mark.parametrize(("second", "message"), [("g.csv", "f.csv is given already"), ("no.csv", "no such file")])
def test_a_second_file_is_refused_before_anything_is_chosen(
    tmp_path: Path, second: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("f.csv", "g.csv"):
        flowers(tmp_path / name)
    with pytest.raises((ConfigError, DataError), match=message):
        with_file_expanded([f"{tmp_path}/f.csv", "seed=1", f"{tmp_path}/{second}"])
    assert capsys.readouterr().out == ""


def test_a_table_of_names_or_words_is_read_as_texts(tmp_path: Path) -> None:
    names = ["".join("abkl"[n * k % 4] for k in (1, 2, 3, 5)) + "é" * (n % 9) for n in range(60)]
    path = table(
        tmp_path / "n.csv", "name,language", lambda n: f"{names[n]}{chr(97 + n // 26)}{chr(97 + n % 26)},{'xy'[n % 2]}"
    )
    found = recognise(path)
    assert (found.dataset, found.groups) == ("text", {"model": "rnn"})
    assert found.settings == {"text": "name", "target": "language"}
    codes = table(tmp_path / "c.csv", "code,language", lambda n: f"C{n:05d},{'xy'[n % 2]}")
    with pytest.raises(ConfigError, match="has no columns that can be inputs"):
        recognise(codes)


def test_a_column_of_texts_or_a_series_may_be_typed(tmp_path: Path) -> None:
    path = str(table(tmp_path / "t.csv", "id,title,stars", lambda n: f"k{n},t{n * 7 % 59}x,{n % 3}"))
    words = with_file_expanded([path, "text=title", "target=stars"])
    assert {"dataset=text", "model=rnn", "dataset.text=title", "dataset.target=stars"} <= set(words)
    with pytest.raises(DataError, match="column titles is missing; did you mean title"):
        with_file_expanded([path, "text=titles", "target=stars"])
    rows = str(
        table(tmp_path / "s.csv", "day,shop,sales", lambda n: f"2024-01-{n % 20 + 1:02d},{'abc'[n // 20]},{n}.5")
    )
    words = with_file_expanded([rows, "entity=shop", "window=4"])
    assert {"dataset=series", "dataset.columns=[sales]", "dataset.time=day", "loss=mse", "model=rnn"} <= set(words)
    assert words[-2:] == ["dataset.entity=shop", "dataset.window=4"]
    words = with_file_expanded([rows, "time=day", "columns=[sales]", "entity=shop"])
    assert [word for word in words if word.startswith("dataset.")] == [
        f"dataset.path={rows}", "dataset.time=day", "dataset.columns=[sales]", "dataset.entity=shop",
    ]  # fmt: skip


def test_a_parquet_file_of_lists_only_is_refused_with_its_columns(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"v": [[1, 2], [3]] * 20}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="has no column of numbers, texts or dates, only v"):
        recognise(tmp_path / "t.parquet")


def test_a_parquet_file_is_recognised_as_a_table(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = range(200)
    columns = {
        "id": [f"u{row}" for row in rows],
        "x": [None if row == 7 else row / 7 for row in rows],
        "price_text": [f"{row * 37 % 199},{row % 7}" for row in rows],
        "words": [[1, 2]] * 200,
        "kind": ["ab"[row % 2] for row in rows],
        "species": ["stu"[row % 3] for row in rows],
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = recognise(tmp_path / "t.parquet")
    assert found.dataset == "parquet"
    assert found.settings == {"target": "species", "drop": ["id", "words", "price_text"]}
    assert found.groups == {"clean": "impute"}
    assert found.reasons[-2:] == (
        "not used, because they are neither numbers, dates nor texts: words",
        "not used, because they are texts with numbers or dates, which are read from CSV: price_text",
    )
    words = with_file_expanded([str(tmp_path / "t.parquet"), "target=x", "seed=1"])
    assert {"loss=mse", "dataset.target=x"} <= set(words)
    data = assemble.assemble(compose.compose(with_file_expanded([str(tmp_path / "t.parquet")]))).data
    assert data.schema.input_names == ("x", "kind=a", "kind=b")
    times = pa.table({"day": [f"2024-01-{row:02d}" for row in range(1, 29)], "y2": [row / 3 for row in range(28)]})
    parquet.write_table(times, tmp_path / "s.parquet")
    with pytest.raises(ConfigError, match="contains a series, and dataset=series reads CSV: save the table as CSV; to"):
        recognise(tmp_path / "s.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:99])
    with pytest.raises(DataError, match="cannot be read"):
        recognise(tmp_path / "cut.parquet")


def test_settings_of_the_data_need_no_section_where_a_file_is_given(tmp_path: Path) -> None:
    path = str(flowers(tmp_path / "f.csv"))
    words = with_file_expanded(["-m", path, "target=island", "drop=[width]", "seed=0,1", "model=mlp"])
    assert words[-4:] == ["dataset.target=island", "dataset.drop=[width]", "seed=0,1", "model=mlp"]
    assert [word for word in words if word.startswith(("dataset.target", "dataset.drop"))] == words[-4:-2]
    assert "clean=impute" in words  # the rest follows from the target
    assert with_file_expanded(["target=island", path])[0] == "dataset.target=island"
    assert with_file_expanded([path, "label=island"])[-1] == "label=island"  # of tar files
    assert with_file_expanded(["target=island"]) == ["target=island"]  # no file
    assert from_file.in_full(path, ["path=g.csv", "--cfg", "job", "target"]) == ["path=g.csv", "--cfg", "job", "target"]
    (tmp_path / "photos").mkdir()
    assert from_file.in_full(str(tmp_path / "photos"), ["size=8", "target=a"]) == ["dataset.size=8", "dataset.target=a"]
    assert training._expanded([path, "target=island"])[0][-1] == "dataset.target=island"


@pytest.mark.parametrize("command", ["find-lr", "find-batch-size", "profile"])
def test_commands_that_train_a_few_steps_take_a_file_too(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(flowers(tmp_path / "f.csv"))
    words = with_file_expanded([command, path, "steps=20"])
    assert words[:2] == [command, "dataset=csv"]
    assert words[-1] == "steps=20"
    assert f"the same as: trainctl {command} dataset=csv" in capsys.readouterr().out


@pytest.mark.parametrize("place", [[], ["train"], ["find-lr"], ["-m"]], ids=" ".join)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flwers.csv", r"flwers\.csv: no such file; did you mean flowers\.csv\?"),
        ("data.npz", r"data\.npz: no such file"),
        ("my.yaml", r"my\.yaml: no such file"),
        ("photos/", "photos: no such directory"),
    ],
)
def test_a_file_that_does_not_exist_is_no_unknown_command(
    tmp_path: Path, place: list[str], name: str, message: str
) -> None:
    flowers(tmp_path / "flowers.csv")
    with pytest.raises(DataError, match=message):
        with_file_expanded([*place, f"{tmp_path}/{name}"])
    for other in ("dataset/csv", "optimizer.lr"):  # a habit, which is answered elsewhere
        assert with_file_expanded([*place, other]) == [*place, other]


def test_names_with_any_characters_become_words(tmp_path: Path) -> None:
    path = table(tmp_path / "it's [1], x=2.csv", '"a,b",[z],class', lambda n: f"{n * 7 % 5}.5,{n}.25,{'xy'[n % 2]}")
    config = compose.compose(from_file.expanded(str(path), []).words)
    assert config.parts["dataset"]["path"] == str(path)
    assert config.parts["dataset"]["target"] == "class"


def test_settings_come_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        "optimizer: {name: sgd, lr: 0.5}\nmodel:\n  hidden: [8]\naugment: [flip]\nregularizer:\n  l2: {weight: 0.25}\n"
        "loop:\n  epochs: 3\nseed: 7\ndataset: iris\n"
    )
    config = compose.compose([*from_file.expanded(str(path), ["seed=9"]).words, "seed=9"])
    assert (config.parts["optimizer"]["lr"], config.loop.epochs, config.seed) == (0.5, 3, 9)
    assert (config.parts["model"]["hidden"], list(config.parts["augment"])) == ([8], ["flip"])
    assert config.parts["regularizer"]["l2"]["weight"] == 0.25
    whole = tmp_path / "config.yaml"
    import yaml

    whole.write_text(yaml.safe_dump(config.tree))
    assert compose.compose(from_file.expanded(str(whole), []).words).tree == config.tree
    (tmp_path / "run").mkdir()
    whole.rename(tmp_path / "run" / "config.yaml")
    with pytest.raises(ConfigError, match="is a run; continue it with trainctl resume"):
        from_file.expanded(str(tmp_path / "run"), [])
    for content, message in (
        ("optimizerr: sgd\n", "did you mean optimizer"),
        ("- a\n", "expected settings"),
        ("augment: {flip: true}\n", "augment"),
    ):
        path.write_text(content)
        with pytest.raises(ConfigError, match=message):
            from_file.expanded(str(path), [])


def test_the_command_that_is_printed_composes_the_same(tmp_path: Path) -> None:
    words = from_file.expanded(str(flowers(tmp_path / "f.csv")), ["loop.epochs=2"]).words
    assert derive.command(words).startswith("trainctl dataset=csv")


@pytest.mark.parametrize("words", [[], ["dataset.delimiter=semicolon", "dataset.target=kind"]])
def test_a_table_that_was_recognised_is_not_read_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    rows = "".join(f"{row % 7}.5;{row % 5};{'abc'[row % 3]}\n" for row in range(90))
    (tmp_path / "t.csv").write_text(f"x;w;kind\n{rows}")
    reads: list[Path] = []
    monkeypatch.setattr(cells, "read_unpacked", lambda path: reads.append(path) or read_unpacked(path))

    def columns() -> list[str]:
        found = with_file_expanded(["t.csv", *words])
        return list(assemble.assemble(compose.compose(found)).data.schema.input_names)

    assert columns() == ["x", "w"]
    assert len(reads) == 1
    assert not cells.READ  # training has taken it
    with_file_expanded(["t.csv", *words])
    (tmp_path / "t.csv").write_text(f"x;z;kind\n{rows}")
    assert columns() == ["x", "z"]
    assert len(reads) == 3
    cells.read_table(Path("t.csv"))
    cells.read_table(Path("t.csv"))
    assert len(reads) == 5  # nothing is kept for readers that come by chance
