"""An ensemble is a run of its own that predicts the mean of its parts, whatever their models and scalings are."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from torch import nn

from tests.finished import made_of
from tests.finished.made_of import Say, entries, snapshot
from trainctl.components.model.ensemble import Ensemble
from trainctl.finished.open import open as open_run
from trainctl.run.run import Evaluation
from trainctl.settings import compose
from trainctl.train import cost, session

say = made_of.say
ROOT = "root=runs"
ALIKE = ([], ["seed=1"])
UNLIKE = ([], ["model=cnn", "model.channels=[4]", "model.hidden=[8]", "scale=minmax"], ["model=linear", "scale=none"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Return runs on images: with one model and scaling, and with several."""
    root = tmp_path_factory.mktemp("trained")
    runs = {}
    for kind, variants in (("alike", ALIKE), ("unlike", UNLIKE)):
        runs[kind] = []
        for number, words in enumerate(variants):
            own = made_of.SMALL if not any(word.startswith("model=") for word in words) else BARE
            directory = root / f"{kind}-{number}"
            session.begin(compose.compose([*own, *words]), [], directory)
            runs[kind].append(directory)
    return runs


BARE = tuple(word for word in made_of.SMALL if not word.startswith("model."))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "rows.npy", pixels)
    return tmp_path / "rows.npy"


def predicted(say: Say, run: Path, rows: Path) -> list[dict[str, str]]:
    code, out, err = say("predict", run, rows)
    assert code == 0, err
    return list(csv.DictReader(io.StringIO(out)))


@pytest.mark.parametrize("kind", ["alike", "unlike"])
def test_it_predicts_the_mean_of_the_parts_probabilities(
    trained: dict[str, list[Path]], say: Say, images: Path, kind: str
) -> None:
    parts, before = trained[kind], snapshot(*trained[kind])
    code, _, err = say("ensemble", *parts, "output=runs/all", ROOT)
    assert code == 0, err
    assert snapshot(*parts) == before
    rows = predicted(say, Path("runs/all"), images)
    each = [predicted(say, part, images) for part in parts]
    classes = [key for key in rows[0] if key.startswith("p_")]
    assert list(rows[0])[-1] == "disagreement"
    for row, *others in zip(rows, *each, strict=True):
        p = np.array([[float(other[key]) for key in classes] for other in others])
        np.testing.assert_allclose([float(row[key]) for key in classes], p.mean(0), rtol=0, atol=1e-6)
        ratio = np.where(p > 0, p, 1) / np.where(p > 0, p.mean(0), 1)
        divergence = (p * np.log(ratio)).sum(1).mean()
        assert float(row["disagreement"]) == pytest.approx(divergence, rel=1e-3, abs=1e-6)
        assert row["prediction"] == classes[p.mean(0).argmax()].removeprefix("p_")


def test_where_rows_are_kept_and_how_many_trained_is_no_difference(
    trained: dict[str, list[Path]], say: Say, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,kind\n" + "".join(f"{n % 7}.5,{n * 3 % 11},{'xy'[n % 2]}\n" for n in range(80)))
    runs = [tmp_path / "memory", tmp_path / "disk"]
    for directory in runs:
        words = ["dataset=csv", f"dataset.path={table}", "dataset.target=kind", f"dataset.cache={tmp_path / 'cache'}"]
        words += [
            f"dataset.keep={directory.name}",
            "model.hidden=[4]",
            "loop.epochs=1",
            "output.plots=false",
            "threads=1",
        ]
        session.begin(compose.compose(words), [], directory)
        saved = yaml.safe_load((directory / "config.yaml").read_text())  # the bits of two processes are those of one
        (directory / "config.yaml").write_text(yaml.safe_dump(saved | {"processes": 2}))
    for command, parts in (("ensemble", runs[::-1]), ("merge", runs), ("quantize", runs[1:])):
        made = tmp_path / command
        code, _, err = say(command, *parts, f"output={made}", ROOT)
        assert (code, "other data" in err) == (0, False), err
        assert yaml.safe_load((made / "config.yaml").read_text())["processes"] == 1
    assert "not the data" not in "".join(map(str, say("evaluate", runs[1], "dataset.keep=memory")))
    assert "not comparable" not in "".join(map(str, say("compare", *runs)))
    table.write_text(table.read_text().replace("0.5", "9.5"))
    assert "not the data" in "".join(map(str, say("evaluate", runs[0])))


@pytest.mark.parametrize("kind", ["alike", "unlike"])
def test_the_best_part_is_measured_as_it_is_without_the_mean_of_an_ensemble(
    trained: dict[str, list[Path]], say: Say, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    measured: list[list[nn.Module]] = []
    real = cost.measure

    def measure(evaluation: Evaluation, metric: str) -> cost.Cost:
        measured.append(list(evaluation.model.modules()))
        return real(evaluation, metric)

    monkeypatch.setattr(cost, "measure", measure)
    code, out, err = say("ensemble", *trained[kind], f"output=measured-{kind}", ROOT)
    assert code == 0, err
    before, after = ([isinstance(module, Ensemble) for module in modules] for modules in measured)
    assert (any(before), any(after)) == (False, True)
    parts = [line.split() for line in out.splitlines()[1 : 1 + len(trained[kind])]]
    values = next(line.split() for line in out.splitlines() if line.startswith("val/"))
    assert values[1] in [part[-1] for part in parts]


def test_it_is_a_run(trained: dict[str, list[Path]], say: Say) -> None:
    parts = trained["unlike"]
    assert say("ensemble", *parts, "output=runs/all", ROOT)[0] == 0
    for words in (["evaluate"], ["reproduce"], ["verify"], ["lineage"]):
        code, _, err = say(*words, "runs/all")
        assert code == 0, (words, err)
    assert say("compare", "runs/all", parts[0])[0] == 0
    assert "ensemble" in say("runs", ROOT)[1]
    code, _, err = say("resume", "runs/all")
    assert (code, "finetune" in err) == (4, True)
    summary = json.loads(Path("runs/all/summary.json").read_text())
    assert summary["size"]["parameters"] > summary["size"]["before"]["parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("trained_with_int8", [False, True], ids=["quantized", "trained with rounding"])
def test_a_part_computes_with_8_bits_and_the_others_do_not(
    trained: dict[str, list[Path]], say: Say, images: Path, trained_with_int8: bool
) -> None:
    small = Path("runs/small")
    if trained_with_int8:
        session.begin(compose.compose([*made_of.SMALL, "seed=1", "compress=[int8,prune]"]), [], small)
    else:
        assert say("quantize", trained["alike"][1], f"output={small}", ROOT)[0] == 0
    first = trained["unlike"][1]  # a CNN with another scaling
    for name, parts in (("first", (small, first)), ("last", (first, small))):  # settings are those of the first
        code, _, err = say("ensemble", *parts, f"output=runs/{name}", ROOT)
        assert code == 0, err
        rows, each = predicted(say, Path("runs", name), images), [predicted(say, part, images) for part in parts]
        for row, *others in zip(rows, *each, strict=True):
            p = np.mean([float(other["p_3"]) for other in others])
            assert float(row["p_3"]) == pytest.approx(p, abs=1e-6)
        for command in ("evaluate", "reproduce"):
            assert say(command, f"runs/{name}")[0] == 0
    led, followed = (open_run(Path("runs", name), [], [], []).config.parts for name in ("first", "last"))
    assert list(led["compress"]) == ["none"]  # or a student of the ensemble would be pruned like one part
    model = followed["model"]
    assert ["compress" in part for part in model["parts"]] == [False, True]
    stored = {name: tensor.dtype for name, tensor in tensors(Path("runs/last")).items()}
    assert (stored["parts.1.model.1.weight"] == torch.int8) != trained_with_int8
    assert stored["parts.0.model.0.weight"] == torch.float32


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """Return the model's tensors in a run's file, as they are stored."""
    (file,) = (path for path in (run / "checkpoints").glob("*.safetensors") if "best" in path.name)
    return {name.removeprefix("model."): value for name, value in safetensors.torch.load_file(file).items()}


@pytest.mark.parametrize(
    ("compress", "message"),
    [
        ("8", "model.parts[0].compress: expected members of the group compress"),
        ("{int8: {name: int16}}", "model.parts[0].model.compress.int8.name=int16: no such compress"),
        ("{int8: {name: int8}}", "model.parts[0].model.compress.int8.begin is missing"),
    ],
)
def test_a_part_with_another_compression_is_refused(
    trained: dict[str, list[Path]], say: Say, compress: str, message: str
) -> None:
    assert say("quantize", trained["alike"][0], "output=runs/small", ROOT)[0] == 0
    assert say("ensemble", "runs/small", trained["alike"][1], "output=runs/all", ROOT)[0] == 0
    tree = yaml.safe_load(Path("runs/all/config.yaml").read_text())
    tree["model"]["parts"][0]["compress"] = yaml.safe_load(compress)
    Path("runs/all/config.yaml").write_text(yaml.safe_dump(tree))
    code, _, err = say("evaluate", "runs/all")
    assert (code, message in err) == (4, True), err


@pytest.mark.slow
def test_it_can_be_trained_and_resumed(trained: dict[str, list[Path]], say: Say) -> None:
    assert say("ensemble", *trained["unlike"], "output=runs/all", ROOT)[0] == 0
    code, _, err = say("finetune", "runs/all", "loop.max_steps=4", "loop.stop_at_step=2", "output.root=tuned")
    assert code == 130, err
    assert say("resume", "root=tuned")[0] == 0
    assert say("verify", "root=tuned")[0] == 0


@pytest.mark.slow
def test_an_ensemble_of_ensembles_is_the_mean_of_both(trained: dict[str, list[Path]], say: Say, images: Path) -> None:
    first, second = trained["alike"]
    assert say("ensemble", first, second, "output=runs/pair", ROOT)[0] == 0
    assert say("ensemble", "runs/pair", first, "output=runs/nested", ROOT)[0] == 0
    one, other = predicted(say, first, images), predicted(say, second, images)
    nested = predicted(say, Path("runs/nested"), images)
    for row, left, right in zip(nested, one, other, strict=True):
        assert float(row["p_3"]) == pytest.approx(0.75 * float(left["p_3"]) + 0.25 * float(right["p_3"]), abs=1e-6)


def table(path: Path, seed: int, rows: int = 120) -> Path:
    """Write a table with gaps, a category and two targets."""
    draws = np.random.default_rng(seed)
    x, y = draws.normal(0, 1, rows), draws.normal(1000, 10, rows)
    city = draws.choice(["Bern", "Ulm"], rows)
    lines = ["x,y,city,price,size"]
    for number in range(rows):
        first = "" if number % 9 == 4 else f"{x[number]:.4f}"
        price = 3000 * x[number] + (city[number] == "Ulm") * 500 + y[number]
        lines.append(f"{first},{y[number]:.3f},{city[number]},{price:.2f},{x[number] - 2:.3f}")
    path.write_text("\n".join(lines) + "\n")
    return path


TABLE = (
    "dataset=csv", "dataset.target=[price,size]", "dataset.task=regression", "loss=mse", "clean=impute", "model.hidden=[6]",
    "loop.max_steps=20", "output.plots=false", "threads=1",
)  # fmt: skip


@pytest.mark.slow
def test_numbers_are_averaged_in_units_whatever_the_parts_clean_and_scale(say: Say, tmp_path: Path) -> None:
    first, second = table(tmp_path / "a.csv", 0), table(tmp_path / "b.csv", 1)
    variants = (
        [f"dataset.path={first}"],
        [f"dataset.path={second}", "scale=minmax", "clean.strategy=median"],
        [f"dataset.path={first}", "clean.outliers=clip", "scale=robust", "model=linear"],
    )
    parts = []
    for number, words in enumerate(variants):
        given = [word for word in TABLE if "model=linear" not in words or not word.startswith("model.")]
        session.begin(compose.compose([*given, *words]), [], tmp_path / f"part-{number}")
        parts.append(tmp_path / f"part-{number}")
    code, _, err = say("ensemble", *parts, "output=runs/all", ROOT)
    assert code == 0, err
    assert "part-1 was trained with other data" in err
    rows = table(tmp_path / "new.csv", 2, 12)
    whole, each = predicted(say, Path("runs/all"), rows), [predicted(say, part, rows) for part in parts]
    assert list(whole[0]) == ["row", "price", "size", "disagreement_price", "disagreement_size"]
    for row, *others in zip(whole, *each, strict=True):
        for name in ("price", "size"):
            values = [float(other[name]) for other in others]
            assert float(row[name]) == pytest.approx(np.mean(values), rel=1e-5, abs=1e-2)
            assert float(row[f"disagreement_{name}"]) == pytest.approx(np.std(values), rel=1e-4, abs=1e-2)
    for words in (["evaluate"], ["reproduce"]):
        assert say(*words, "runs/all")[0] == 0


def test_gaps_are_refused_unless_every_part_fills_them(say: Say, tmp_path: Path) -> None:
    full = table(tmp_path / "a.csv", 0)
    words = [*TABLE, f"dataset.path={full}"]
    session.begin(compose.compose([*words, "clean=drop"]), [], tmp_path / "dropped")
    session.begin(compose.compose(words), [], tmp_path / "imputed")
    assert say("ensemble", "dropped", "imputed", "output=runs/all", ROOT)[0] == 0
    code, _, err = say("predict", "runs/all", full)
    assert code == 3
    assert "row 4, column x has a missing value" in err


def test_autoencoders_are_averaged(say: Say, tmp_path: Path, images: Path) -> None:
    parts = []
    for seed in range(2):
        words = [
            *BARE,
            "model=autoencoder",
            "model.hidden=[8]",
            "model.bottleneck=4",
            "loop.max_steps=5",
            f"seed={seed}",
        ]
        words += ["scale=minmax"] if seed else []
        session.begin(compose.compose(words), [], tmp_path / f"{seed}")
        parts.append(tmp_path / f"{seed}")
    code, _, err = say("ensemble", *parts, "output=runs/all", ROOT)
    assert code == 0, err
    rows = predicted(say, Path("runs/all"), images)
    assert math.isfinite(float(rows[0]["rmse"]))
    assert float(rows[0]["disagreement"]) > 0
    assert say("evaluate", "runs/all")[0] == 0
    assert say("reproduce", "runs/all")[0] == 0


DIFFERENCES = {
    "task": (["dataset=diabetes", "loss=mse"], "task is regression, not classification"),
    "classes": (["dataset=wine"], "number of classes: 3, not 10"),
    "autoencoder": (["model=autoencoder", "model.hidden=[8]"], "task is reconstruction, not classification"),
}


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_runs_that_do_not_fit_are_refused_and_nothing_is_left(
    trained: dict[str, list[Path]], say: Say, tmp_path: Path, kind: str
) -> None:
    words, message = DIFFERENCES[kind]
    session.begin(compose.compose([*BARE, *words, "loop.max_steps=1"]), [], tmp_path / "other")
    before = entries(tmp_path)
    code, _, err = say("ensemble", trained["alike"][0], "other", ROOT)
    assert (code, f"other does not match alike-0: {message}" in err) == (4, True), err
    assert entries(tmp_path) == before


def test_texts_with_another_vocabulary_are_refused(say: Say, tmp_path: Path) -> None:
    for name, extra in (("a", "kiwi"), ("b", "plum")):
        lines = [
            f"{'good' if n % 2 else 'bad'} {extra if n % 3 else 'word'},{'yes' if n % 2 else 'no'}" for n in range(40)
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
        words = ["dataset=text", f"dataset.path={tmp_path / name}.csv", "dataset.text=text", "dataset.target=label"]
        words += ["dataset.level=words", "model=rnn", "model.hidden_size=4", "loop.max_steps=2", "output.plots=false"]
        session.begin(compose.compose(words), [], tmp_path / f"run-{name}")
    for verb in ("ensemble", "merge"):
        code, _, err = say(verb, "run-a", "run-b", ROOT)
        assert (code, "token" in err, "run-b does not match run-a" in err) == (4, True, True), err
    assert not (tmp_path / "runs").exists()


def test_classes_in_another_order_are_refused(say: Say, tmp_path: Path) -> None:
    for name, kinds in (("a", "xyz"), ("b", "zyw")):
        rows = [f"{n % 7},{n % 5},{kinds[n % 3]}" for n in range(60)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["u,v,kind", *rows]) + "\n")
        words = ["dataset=csv", f"dataset.path={tmp_path / name}.csv", "dataset.target=kind", "loop.max_steps=2"]
        session.begin(compose.compose([*words, "output.plots=false"]), [], tmp_path / f"run-{name}")
    code, _, err = say("ensemble", "run-a", "run-b", ROOT)
    assert code == 4
    assert "class 0 is w, not x" in err


def test_columns_are_compared_by_name_and_order(say: Say, tmp_path: Path) -> None:
    for name, header in (("a", "u,v,kind"), ("b", "v,u,kind")):
        rows = [f"{n % 7},{n % 5},{'xyz'[n % 3]}" for n in range(60)]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
        words = ["dataset=csv", f"dataset.path={tmp_path / name}.csv", "dataset.target=kind", "loop.max_steps=2"]
        session.begin(compose.compose([*words, "output.plots=false"]), [], tmp_path / f"run-{name}")
    code, _, err = say("ensemble", "run-a", "run-b", ROOT)
    assert code == 4
    assert "column 0 is v, not u: the same in another order" in err


def test_a_tampered_part_is_refused_without_a_traceback(trained: dict[str, list[Path]], say: Say) -> None:
    assert say("ensemble", *trained["alike"], "output=runs/all", ROOT)[0] == 0
    path = Path("runs/all/config.yaml")
    text = path.read_text()
    for old, new in (("name: mlp", "name: evil"), ("norm: batch", "norm: 3"), ("tensors: {}", "tensors: {fill: [x]}")):
        assert old in text
        path.write_text(text.replace(old, new))
        for verb in ("evaluate", "reproduce"):
            code, _, err = say(verb, "runs/all")
            assert (code, "Traceback" in err) == (4, False), (verb, new, err)


def test_an_ensemble_is_only_made_of_runs(say: Say) -> None:
    code, _, err = say("model=ensemble")
    assert code == 2
    assert "trainctl ensemble RUN RUN" in err
