"""`quantize`: a quarter of the bytes, the accuracy of 8 bits wherever the run is used, and no run half made."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.finished.test_open import say  # noqa: F401 - a fixture
from trainctl.components.compress.int8 import quantised_weights
from trainctl.errors import CheckpointError
from trainctl.finished.open import load_model
from trainctl.finished.open import open as open_run
from trainctl.finished.quantize import quantize
from trainctl.finished.remake import remake
from trainctl.settings import compose
from trainctl.store import records, restore, runpath
from trainctl.train import session

STORED = Path(__file__).parent / "int8_formats"
SHORT = ("loop.epochs=2", "output.plots=false", "threads=1", "loop.batch_size=64")
MODELS = {
    "mlp": ("dataset=digits", "model=mlp", "average=ema"),
    "cnn": ("dataset=digits", "model=cnn", "model.norm=batch"),
    "lstm": ("dataset=digits", "model=rnn"),
    "autoencoder": ("dataset=digits", "model=autoencoder"),
    "embedding": ("dataset=text", "dataset.text=text", "dataset.target=label", "model=rnn", "model.embedding_size=32"),
}


def trained(directory: Path, *words: str) -> Path:
    session.begin(compose.compose([*SHORT, *words]), [], directory)
    return directory


def texts(folder: Path) -> Path:
    rows = [f"{'abc'[n % 3]}{'xyzuv'[n % 5]}{n % 7},{'abc'[n % 3]}" for n in range(90)]
    (folder / "texts.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    return folder / "texts.csv"


def files(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_it_takes_a_quarter_of_the_bytes_and_is_made_again_to_the_last_bit(tmp_path, name):
    more = [f"dataset.path={texts(tmp_path)}"] if name == "embedding" else []
    run = trained(tmp_path / "run", *MODELS[name], *more)
    before = files(run)
    made = quantize(open_run(run, [], [], ()), "best", 512, tmp_path / "small")
    assert files(run) == before
    small = open_run(made.directory, [], [], ())
    floats, integers = (open_run(path, [], [], ()).saved for path in (run, tmp_path / "small"))
    sizes = [(path.path.parent / path.manifest.best.file).path.stat().st_size for path in (floats, integers)]
    if name != "embedding":  # a few hundred weights, and as many bytes of names
        assert sizes[1] <= 0.28 * sizes[0]
    assert made.after.bytes <= 0.29 * made.before.bytes
    assert remake(small).difference == ""
    assert made.after.value == pytest.approx(made.before.value, rel=0.05, abs=0.02)
    size = records.read_summary(made.directory).size
    assert size
    assert size.before
    assert size.before.bytes == made.before.bytes


def test_everything_that_reads_the_run_computes_what_8_bits_compute(tmp_path):
    run = trained(tmp_path / "run", *MODELS["mlp"])
    small = open_run(quantize(open_run(run, [], [], ()), "best", 100, tmp_path / "small").directory, [], [], ())
    model = load_model(small, small.weights("best"))[0]
    weights = quantised_weights(model)
    assert len(weights) == 3
    for name in weights:
        assert len(model.state_dict()[name].unique()) <= 255 * len(model.state_dict()[name])
    assert all(len(row.unique()) <= 255 for row in model.state_dict()["9.weight"])
    layer = model[1]
    rows = torch.randn(40, 64)
    assert len(layer.input_range(rows).unique()) <= 256
    torch.testing.assert_close(layer(rows), layer.input_range(rows) @ layer.weight.T + layer.bias)


def test_a_run_that_was_trained_with_8_bits_keeps_its_ranges(tmp_path):
    run = trained(tmp_path / "run", *MODELS["mlp"][:2], "compress=[int8]")
    made = quantize(open_run(run, [], [], ()), "best", 512, tmp_path / "small")
    assert made.rows == 0
    name = "model.1.input_range.limits"
    assert torch.equal(restore.newest(run).tensors("best")[name], restore.newest(made.directory).tensors("best")[name])
    assert made.after.value == made.before.value  # it was measured with 8 bits all along


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["calibrate=0"], 2, "calibrate=0: expected a whole number"),
        (["tolerance=-1"], 2, "tolerance=-1: expected a number"),
        (["which=newest"], 2, "no such which"),
        (["output=run"], 2, "already exists"),
        (["optimizer.lr=1"], 2, "optimizer.lr"),
    ],
)
def test_wrong_input_is_answered_in_a_line(tmp_path, say, words, code, message):  # noqa: F811
    shutil.copytree(STORED / "1", tmp_path / "run")
    given, _, said = say("quantize", "run", "root=.", *words)
    assert (given, message in said) == (code, True), said


def test_what_has_8_bits_is_not_quantised_again(tmp_path):
    shutil.copytree(STORED / "1", tmp_path / "run")
    with pytest.raises(CheckpointError, match="its weights already have 8 bits"):
        quantize(open_run(tmp_path / "run", [], [], ()), "best", 512, tmp_path / "small")


def test_a_stored_run_of_every_format_is_used_and_made_again(tmp_path, say):  # noqa: F811
    formats = sorted(STORED.iterdir())
    assert [path.name for path in formats] == ["1"]
    for path in formats:
        directory = shutil.copytree(path, tmp_path / path.name)
        code, out, _ = say("evaluate", directory, "format=json")
        assert code == 0
        wanted = json.loads((directory / "summary.json").read_text())["metrics"]
        assert json.loads(out)["metrics"]["test/accuracy"] == pytest.approx(wanted["test/accuracy"])
        assert json.loads(out)["metrics"]["test/loss"] == pytest.approx(wanted["test/loss"], rel=1e-5)
        held = runpath.hold(directory)
        assert torch.equal(
            restore.newest(held).tensors("best")["model.1.weight"] != 0, torch.ones(6, 4, dtype=torch.bool)
        )
        assert say("reproduce", directory)[0] == 0
