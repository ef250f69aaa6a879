"""An exported file says of raw rows what `predict` says, in another program and without the run."""

import csv
import io
import json
import math
import re
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import torch
from torch import Tensor, nn

from tests.finished import test_open as test_loading
from tests.finished.test_open import Say
from trainctl.components.model.base import Chain
from trainctl.finished import export as exporting
from trainctl.finished import onnx_file, portable, torch_file, weights_file
from trainctl.finished.export import export
from trainctl.finished.open import open as open_run
from trainctl.settings import compose
from trainctl.store import operations, rundir
from trainctl.train import session

say = test_loading.say
QUICK = ("loop.epochs=1", "loop.batch_size=32", "output.plots=false", "threads=1")
SIZES = (1, 2, 7, 33)

CITIES = ("Bern", "Ulm", "Graz", "")
WORDS = ("good", "bad", "fine,", "poor", "great!", "awful", "so-so")


def people(path: Path) -> None:
    """Write a table with numbers, dates, categories and missing values; `kind` is a class, `pay` a number."""
    lines = ["age,city,since,day,kind,pay"]
    for row in range(120):
        age = "" if row % 7 == 3 else f"{20 + row * 37 % 50}.5"
        city, since = CITIES[row % 4], 2459123.4 + row * 0.0137
        pay = 1e9 + row % 10
        lines.append(f"{age},{city},{since:.4f},2024-02-{1 + row % 28:02},{'abc'[row % 3]},{pay:.0f}")
    path.write_text("\n".join(lines) + "\n")


def waves(path: Path) -> None:
    lines = ["x,y", *(f"{math.sin(step / 3):.5f},{1e6 + math.cos(step / 5):.5f}" for step in range(90))]
    path.write_text("\n".join(lines) + "\n")


def opinions(path: Path) -> None:
    lines = ["text,mood"]
    for row in range(90):
        words = [WORDS[(row * step + step) % len(WORDS)] for step in range(1, 2 + row % 9)]
        lines.append(f'"{" ".join(words)}",{"glad" if "good" in words or "great!" in words else "sad"}')
    path.write_text("\n".join(lines) + "\n")


def train(folder: Path, *words: str) -> Path:
    """Train a small run in this process, and return its directory."""
    session.begin(compose.compose([*QUICK, *words]), [], folder / "run")
    return folder / "run"


CLASSES = "dataset=csv dataset.path=rows.csv dataset.target=kind dataset.drop=[pay]"
PAY = "dataset=csv dataset.path=rows.csv dataset.target=pay dataset.drop=[kind] dataset.task=regression loss=mse"
CLIPPED = "clean=impute clean.outliers=clip clean.outlier_limit=1.0"
SERIES = "dataset=series dataset.path=rows.csv dataset.columns=[x,y] dataset.window=6 dataset.horizon=2 model=rnn model.hidden_size=5"
TEXTS = (
    "dataset=text dataset.path=rows.csv dataset.text=text dataset.target=mood dataset.level=words dataset.max_length=6"
    " model=rnn model.hidden_size=5 model.embedding_size=4"
)
BOTH = "model.bidirectional=true"
# What writes rows.csv, and what is typed.
RUNS: dict[str, tuple[Callable[[Path], None] | None, str]] = {
    "mlp, categories, imputed": (
        people, f"{CLASSES} {CLIPPED} model=mlp model.hidden=[7] model.norm=batch model.dropout=0.2"
    ),
    "mlp, large numbers": (
        people,
        f"{PAY} clean=impute clean.strategy=constant scale=robust model=mlp model.hidden=[7,6] model.norm=layer",
    ),
    "linear, rows dropped": (people, f"{CLASSES} clean=drop scale=minmax model=linear"),
    "mlp, not scaled": (None, "dataset=iris scale=none model=mlp model.hidden=[8] model.norm=group"),
    "cnn": (
        None, "dataset=digits model=cnn model.channels=[4,6] model.norm=batch model.hidden=[9] model.kernel_size=[3,2]"
    ),
    "cnn, average pooling": (
        None, "dataset=digits model=cnn model.channels=[4] model.norm=layer model.pooling=average model.activation=mish"
    ),
    "resnet": (
        None, "dataset=digits model=resnet model.depth=8 model.width=0.25 model.shortcut=A model.norm=group"
    ),
    "airbench": (None, "dataset=digits model=airbench model.channels=[8]"),
    "autoencoder of images": (
        None, "dataset=digits model=autoencoder loss=mse monitor=val/loss model.channels=[4] model.hidden=[12]"
    ),
    "autoencoder of a table": (people, f"{PAY} {CLIPPED} model=autoencoder model.hidden=[6] model.bottleneck=2"),
    "gru on series": (waves, f"{SERIES} model.cell=gru model.layers=2"),
    "rnn in both directions on series": (waves, f"{SERIES} model.cell=rnn {BOTH} model.pooling=mean"),
    "lstm on images": (None, f"dataset=digits model=rnn model.cell=lstm model.hidden_size=6 {BOTH}"),
    "lstm on texts": (opinions, f"{TEXTS} model.cell=lstm model.pooling=last"),
    "gru in both directions on texts": (opinions, f"{TEXTS} model.cell=gru {BOTH} model.layers=2 model.pooling=mean"),
    "lstm in both directions on texts": (
        opinions, f"{TEXTS} model.cell=lstm {BOTH} model.layers=2 model.pooling=last model.norm=layer"
    ),
}  # fmt: skip
# One of each kind of data, task, and way in which a model can be cut.
SOME = (
    "mlp, categories, imputed", "mlp, large numbers", "cnn", "autoencoder of images", "autoencoder of a table",
    "rnn in both directions on series", "lstm on images", "lstm in both directions on texts",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns the directory of a run, in a directory with its data; each is trained once."""
    found: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in found:
            write, words = RUNS[name]
            folder = tmp_path_factory.mktemp("exported")
            if write:
                write(folder / "rows.csv")
            found[name] = train(folder, *words.replace("rows.csv", str(folder / "rows.csv")).split())
        return found[name]

    return run


def raw_rows(run: Path) -> np.ndarray:
    """Return raw rows of a run: made here from the file, or taken from the data set."""
    opened = open_run(run, [], [], [])
    schema, rng = opened.schema, np.random.default_rng(0)
    if schema.vocabulary:
        rows = rng.integers(1, len(schema.vocabulary), (40, *schema.input_shape))
        for row in range(40):
            rows[row, row % 7 :] = 0  # also a text without a token
        return rows
    if len(schema.input_shape) == 3:
        return rng.integers(0, 17, (40, *schema.input_shape), dtype=np.uint8)
    if len(schema.input_shape) == 2:
        values = np.loadtxt(run.parent / "rows.csv", delimiter=",", skiprows=1)
        return np.lib.stride_tricks.sliding_window_view(values, schema.input_shape[0], axis=0).transpose(0, 2, 1)[:40]
    if not schema.columns:
        return rng.uniform(0, 8, (40, *schema.input_shape))
    with (run.parent / "rows.csv").open() as file:
        table = list(csv.DictReader(file))
    rows = np.array([[cell(row, name) for name in schema.input_names] for row in table])
    return rows if opened.config.parts["clean"]["name"] == "impute" else rows[~np.isnan(rows).any(1)]


def cell(row: dict[str, str], name: str) -> float:
    """Return the number for an encoded column of a table, as the guide says."""
    column, _, category = name.partition("=")
    text = row[column]
    if not text:
        return math.nan
    if category:
        return float(text == category)
    if column == "day":
        return float(text[-2:]) - 1  # days since the first of the training file
    return float(text)


def predicted(say: Say, run: Path, rows: np.ndarray, folder: Path) -> list[list[str]]:
    np.save(folder / "new.npy", rows)
    code, out, err = say("predict", run, folder / "new.npy")
    assert code == 0, err
    return list(csv.reader(io.StringIO(out)))[1:]


def noise(err: str) -> list[str]:
    """Return the lines of standard error that do not only say that it takes long."""
    return [line for line in err.splitlines() if not line.startswith("trainctl: exporting ")]


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def chained(paths: Sequence[Path], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Compute files one after the other, as the guide does."""
    values: dict[str, Any] = {"rows": rows}
    for path in paths:
        stage = session_of(path)
        given = {value.name: values[value.name] for value in stage.get_inputs()}
        values = dict(zip([value.name for value in stage.get_outputs()], stage.run(None, given), strict=True))
    return values


def as_input(path: Path, rows: np.ndarray) -> np.ndarray:
    (value,) = session_of(path).get_inputs()
    assert value.name == "rows"
    assert value.shape[0] == "batch"
    return rows.astype(
        {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(uint8)": "u1", "tensor(int64)": "i8"}[value.type]
    )


def worst(answers: dict[str, np.ndarray], lines: list[list[str]]) -> float:
    """Return the largest difference between answers and the lines of `predict`."""
    numbers = {
        "probabilities": lambda: np.array([line[2:] for line in lines], dtype=float),
        "values": lambda: np.array([line[1:] for line in lines], dtype=float),
        "rmse": lambda: np.array([line[1] for line in lines], dtype=float),
    }
    differences = [np.abs(answers[name] - wanted()).max() for name, wanted in numbers.items() if name in answers]
    assert differences
    return float(max(differences))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_an_onnx_file_says_of_raw_rows_what_predict_says(
    name: str, trained: Callable[[str], Path], say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(onnx_file, "program")  # the fast exporter converts every model of ours
    run = trained(name)
    code, out, err = say("export", run, "output=model.onnx")
    assert code == 0, err
    assert "model.onnx\n" in out
    assert noise(err) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx"]
    rows = raw_rows(run)
    lines = predicted(say, run, rows, tmp_path)
    given = as_input(tmp_path / "model.onnx", rows)
    for size in SIZES:
        assert worst(chained([tmp_path / "model.onnx"], given[:size]), lines[:size]) < 1e-5, size


@pytest.mark.parametrize("name", SOME)
def test_files_of_stages_say_the_same_one_after_the_other(
    name: str, trained: Callable[[str], Path], say: Say, tmp_path: Path
) -> None:
    run = trained(name)
    assert say("export", run, "output=whole.onnx")[0] == 0
    code, _, err = say("export", run, "output=parts", "stages=2")
    assert code == 0, err
    parts = [tmp_path / "parts" / f"stage-{number}.onnx" for number in (1, 2)]
    assert sorted((tmp_path / "parts").iterdir()) == parts
    rows = as_input(tmp_path / "whole.onnx", raw_rows(run))
    whole, cut = chained([tmp_path / "whole.onnx"], rows[:7]), chained(parts, rows[:7])
    assert whole.keys() == cut.keys()
    for key in whole:
        np.testing.assert_allclose(cut[key], whole[key], rtol=2e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_a_safetensors_file_and_a_program_say_it_too(
    name: str, trained: Callable[[str], Path], say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def executed(*_: object, **__: object) -> None:
        raise AssertionError("loads what may execute code")

    monkeypatch.setattr(torch.export, "load", executed)
    monkeypatch.setattr(torch, "load", executed)
    made: list[Any] = []
    for module, kind in ((weights_file, "Rebuilt"), (torch_file, "Programs")):
        original = getattr(module, kind)
        monkeypatch.setattr(module, kind, lambda *given, made=made, of=original: made.append(of(*given)) or made[-1])
    run = trained(name)
    for form in ("safetensors", "torch"):
        code, out, err = say("export", run, f"format={form}")
        assert (code, noise(err)) == (0, []), err
        assert f"run{exporting.SUFFIXES[form]}\n" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.pt2", "run.safetensors"]
    rows = raw_rows(run)
    lines = predicted(say, run, rows, tmp_path)
    schema = open_run(run, [], [], []).schema
    kind = "f8" if schema.input_centre else {"f": "f4", "u": "u1", "i": "i8"}[rows.dtype.kind]
    for compute in made:
        assert worst(compute(rows.astype(kind)[:7]), lines[:7]) < 1e-5


def entries(path: Path) -> dict[str, str]:
    return dict(session_of(path).get_modelmeta().custom_metadata_map)


def test_a_file_names_classes_columns_and_its_run(trained: Callable[[str], Path], say: Say, tmp_path: Path) -> None:
    run = trained("mlp, categories, imputed")
    assert say("export", run, "output=m.onnx")[0] == 0
    assert say("export", run, "output=m.safetensors", "which=last")[0] == 0
    found = entries(tmp_path / "m.onnx")
    assert json.loads(found["class_names"]) == ["a", "b", "c"]
    assert json.loads(found["input_names"]) == ["age", "city=Bern", "city=Graz", "city=Ulm", "since", "day"]
    city = json.loads(found["columns"])[1]
    assert (city["name"], city["categories"]) == ("city", ["Bern", "Graz", "Ulm"])
    assert json.loads(found["input"]) == {"name": "rows", "dtype": "float64", "shape": ["batch", 6]}
    assert (found["run"], found["weights"], found["task"], found["opset"]) == ("run", "best", "classification", "18")
    saved = open_run(run, [], [], []).saved.manifest
    assert found["sha256"] == saved.best.sha256
    with safetensors.safe_open(tmp_path / "m.safetensors", "np") as file:
        more = file.metadata()
        assert {"clean.fill", "clean.low", "scale.input.factor", "model.1.weight"} <= set(file.keys())
    assert (more["weights"], more["sha256"], more["step"]) == ("last", saved.last.sha256, str(saved.step))
    assert json.loads(more["config"])["dataset"]["path"] == "rows.csv"


def test_a_file_of_texts_says_how_a_text_becomes_ids(trained: Callable[[str], Path], say: Say, tmp_path: Path) -> None:
    run = trained("lstm on texts")
    assert say("export", run, "output=m.onnx")[0] == 0
    found = entries(tmp_path / "m.onnx")
    reading, ids = (
        json.loads(found["text"]),
        {token: code for code, token in enumerate(json.loads(found["vocabulary"]))},
    )
    texts = ["Good, GREAT! zebra", "awful so-so awful so-so awful so-so", "e\u0301t\u00e9"]
    rows = np.full((len(texts), reading["length"]), reading["padding"])
    for row, text in enumerate(texts):
        text = text.strip().lower() if reading["lowercase"] else text.strip()
        tokens = re.findall(reading["tokens"], unicodedata.normalize(reading["normalize"], text))[: reading["length"]]
        rows[row, : len(tokens)] = [ids.get(token, reading["unknown"]) for token in tokens]
    (tmp_path / "new.txt").write_text("\n".join(texts) + "\n")
    code, out, err = say("predict", run, "new.txt")
    assert code == 0, err
    lines = [[line[0], *line[2:]] for line in list(csv.reader(io.StringIO(out)))[1:]]  # without the number of the line
    assert worst(chained([tmp_path / "m.onnx"], rows), lines) < 1e-6


@pytest.mark.parametrize("form", ["onnx", "torch", "safetensors"])
def test_a_file_contains_neither_rows_nor_paths_of_this_machine(
    form: str, trained: Callable[[str], Path], say: Say, tmp_path: Path
) -> None:
    run = trained("mlp, categories, imputed")
    assert say("export", run, "output=m", f"format={form}")[0] == 0
    content = (tmp_path / "m").read_bytes()
    for secret in (str(run.parent), str(Path(exporting.__file__).parents[2]), ".py"):
        assert secret.encode() not in content
    assert np.float64(2459123.4274).tobytes() not in content  # a cell


def test_rows_that_predict_refuses_get_no_answer(trained: Callable[[str], Path], say: Say, tmp_path: Path) -> None:
    for name, broken in (("linear, rows dropped", math.nan), ("mlp, categories, imputed", math.inf)):
        run, file = trained(name), tmp_path / f"{len(name)}.onnx"
        assert say("export", run, f"output={file}")[0] == 0
        rows = as_input(file, raw_rows(run))[:3].copy()
        rows[1, 0] = broken
        answers = chained([file], rows)["probabilities"]
        assert np.isnan(answers[1]).all()
        assert not np.isnan(answers[[0, 2]]).any()


def test_a_batch_of_nothing_is_answered_with_nothing(trained: Callable[[str], Path], say: Say, tmp_path: Path) -> None:
    run = trained("cnn")
    assert say("export", run, "output=m.onnx")[0] == 0
    assert chained([tmp_path / "m.onnx"], raw_rows(run)[:0])["probabilities"].shape == (0, 10)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_older_and_newer_operators_can_be_asked_for(
    opset: int, trained: Callable[[str], Path], say: Say, tmp_path: Path
) -> None:
    for name in ("lstm in both directions on texts", "mlp, large numbers"):
        code, _, err = say("export", trained(name), f"output={len(name)}.onnx", f"opset={opset}")
        assert code == 0, err
        assert onnx.load(tmp_path / f"{len(name)}.onnx").opset_import[0].version == opset


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["lstm in both directions on texts", "mlp, categories, imputed", "autoencoder of images"]
)
def test_what_one_exporter_cannot_convert_the_other_one_does(
    name: str, trained: Callable[[str], Path], say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: object) -> bytes:
        raise NotImplementedError("an operator is missing")

    monkeypatch.setattr(onnx_file, "traced", unable)
    run = trained(name)
    code, _, err = say("export", run, "output=m.onnx")
    assert (code, noise(err)) == (0, []), err
    rows = raw_rows(run)
    lines = predicted(say, run, rows, tmp_path)
    for size in SIZES:
        answers = chained([tmp_path / "m.onnx"], as_input(tmp_path / "m.onnx", rows)[:size])
        assert worst(answers, lines[:size]) < 1e-5
    assert b".py" not in (tmp_path / "m.onnx").read_bytes()
    monkeypatch.setattr(onnx_file, "program", unable)
    code, _, err = say("export", run, "output=n.onnx")
    assert code == 2
    assert "cannot be converted to ONNX with opset 18: an operator is missing" in err
    assert not (tmp_path / "n.onnx").exists()


@pytest.mark.parametrize("form", ["onnx", "torch", "safetensors"])
def test_a_file_that_says_something_else_does_not_appear(
    form: str, trained: Callable[[str], Path], say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "PROGRAMS", ())  # the second exporter takes seconds to differ, too
    scaled = portable.Prepare._scaled

    def off(self: portable.Prepare, values: Tensor) -> tuple[Tensor, ...]:
        return tuple(value + 0.01 for value in scaled(self, values))

    monkeypatch.setattr(portable.Prepare, "_scaled", off)
    run = trained("mlp, not scaled")
    code, out, err = say("export", run, f"format={form}", "output=m.bin")
    assert code == 9
    assert "run: differs from predict on validation rows: probabilities by " in err
    assert (out, list(tmp_path.iterdir())) == ("", [])


def test_a_batch_of_one_row_is_compared_too(
    trained: Callable[[str], Path], say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "PROGRAMS", ())
    compute = onnx_file.Session.__call__

    def off(self: onnx_file.Session, rows: np.ndarray) -> dict[str, np.ndarray]:
        answers = compute(self, rows)
        return {name: answer + 0.1 * (len(rows) == 1) for name, answer in answers.items()}

    monkeypatch.setattr(onnx_file.Session, "__call__", off)
    code, _, err = say("export", trained("cnn"), "output=m.onnx")
    assert code == 9
    assert "probabilities by 0.1 (tolerated: 0.0001)" in err
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_nothing(
    trained: Callable[[str], Path], say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(operations, "sync_open", full)
    for words in (["output=m.onnx"], ["output=parts", "stages=2"]):
        code, _, err = say("export", trained("cnn"), *words)
        assert code == 5
        assert "cannot be written: No space left on device" in err
        assert not list(tmp_path.iterdir())


def test_what_appears_meanwhile_is_not_overwritten(
    trained: Callable[[str], Path], say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = onnx_file.Session.__call__

    def slow(self: onnx_file.Session, rows: np.ndarray) -> dict[str, np.ndarray]:
        (tmp_path / "m.onnx").write_text("mine")
        return compute(self, rows)

    monkeypatch.setattr(onnx_file.Session, "__call__", slow)
    code, _, err = say("export", trained("cnn"), "output=m.onnx")
    assert code == 5
    assert "output=m.onnx: " in err
    assert (tmp_path / "m.onnx").read_text() == "mine"


def test_a_run_is_unchanged_and_its_data_may_have_moved(
    trained: Callable[[str], Path], say: Say, tmp_path: Path
) -> None:
    run = shutil.copytree(trained("mlp, large numbers"), tmp_path / "copy")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    data = trained("mlp, large numbers").parent / "rows.csv"
    config = rundir.read_config(run)
    config["dataset"]["path"] = str(tmp_path / "gone.csv")
    rundir.write_config(run, config, [])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    code, _, err = say("export", run, "output=m.onnx")
    assert code == 3
    assert "gone.csv: no such file" in err
    code, _, err = say("export", run, "output=m.onnx", f"dataset.path={data}")
    assert code == 0, err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_in_bf16_is_compared_in_float32_and_that_is_said(say: Say, tmp_path: Path) -> None:
    run = train(tmp_path, "dataset=iris", "model=mlp", "precision=bf16")
    code, _, err = say("export", run, "output=m.onnx")
    assert code == 0
    assert "trainctl: note: this run computes in bf16; the file computes in float32" in err


def test_a_model_too_large_for_one_file_is_refused_before_it_is_converted(
    trained: Callable[[str], Path], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    code, _, err = say("export", trained("cnn"), "output=m.onnx")
    assert code == 2
    assert "of weights are too large for one ONNX file" in err


def test_a_chain_of_parts_of_a_model_can_be_exported_again() -> None:
    chain = Chain([nn.Linear(2, 3), Chain([nn.ReLU()])])
    assert chain.parts()[0] is chain.chain[0]
    assert chain(torch.ones(1, 2)).shape == (1, 3)


def test_equal_runs_give_equal_files(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = open_run(trained("cnn"), [], [], [])
    for name in ("a.onnx", "b.onnx"):
        export(run, "best", "onnx", tmp_path / name, opset=18, stages=1)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
