"""The Python door: its names, and what they do in the process that uses them."""

import inspect
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import trainctl
from tests import small_runs
from trainctl.command import verify

QUICK = ("dataset=iris", "model=linear", "loop.epochs=2", "output.plots=false", "threads=1")
ROOT = Path(trainctl.__file__).parents[1]
NAMES = {
    "Advice", "CheckpointError", "ConfigError", "DataError", "Interrupted", "NonFiniteError", "Predictions", "Run",
    "StorageError", "Table", "TrainctlError", "UnavailableError", "load", "runs", "sklearn", "train",
}  # fmt: skip
SIGNATURES = {
    "train": "(*words, target=None, settings=None, quiet=False, config_dir=None)",
    "load": "(run='last', *words, root='runs', which='best', components=())",
    "runs": "(root='runs')",
    "Run.predict": "(self, rows, *, quantiles=())",
    "Run.evaluate": "(self, split='test')",
    "Run.resume": "(self, *words, quiet=False)",
    "Table.column": "(self, name)",
    "Table.to_pandas": "(self)",
}
PROPERTIES = {
    "Run": {"classes", "components", "config", "metrics", "model", "name", "path", "summary", "which"},
    "Predictions": {"classes", "columns", "notes", "probabilities", "values"},
    "Table": {"columns"},
}
METHODS = {
    "Run": {"evaluate", "predict", "resume"},
    "Predictions": {"column", "count", "index", "to_pandas"},
    "Table": {"column", "count", "index", "to_pandas"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("iris"))
        found = trainctl.train(*QUICK, settings={"optimizer.lr": 0.1}, quiet=True)
        return trainctl.load(found.path.resolve())


def public(value):
    return {name for name in dir(value) if not name.startswith("_")}


def test_the_public_names_and_signatures_are_these():
    assert set(trainctl.__all__) == NAMES
    assert set(dir(trainctl)) == NAMES | {"__version__"}
    assert trainctl.__version__
    for path, expected in SIGNATURES.items():
        name, _, attribute = path.partition(".")
        found = getattr(trainctl, name)
        signature = inspect.signature(getattr(found, attribute) if attribute else found)
        plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
        shown = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
        assert shown == expected, path
    with pytest.raises(AttributeError, match="module 'trainctl' has no attribute 'fit'"):
        _ = trainctl.fit


def test_the_public_attributes_of_what_is_returned_are_these(run):
    found = {"Run": run, "Predictions": run.predict([[1, 2, 3, 4]]), "Table": run.metrics}
    for name, value in found.items():
        assert public(value) == PROPERTIES[name] | METHODS[name]


def test_importing_trainctl_imports_nothing_heavy():
    script = (
        "import sys, time; began = time.perf_counter(); import trainctl; dir(trainctl); trainctl.ConfigError\n"
        "print(time.perf_counter() - began, *({'torch', 'numpy', 'hydra', 'rich', 'sklearn'} & {*sys.modules}))"
    )
    seconds, *heavy = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert heavy == []
    assert float(seconds) < 0.5  # 0.01 on an idle machine


def test_train_is_a_function_whatever_was_imported_before():
    import trainctl.train.loop

    assert callable(trainctl.train)
    assert trainctl.train is sys.modules["trainctl.train"]
    assert trainctl.train.loop is sys.modules["trainctl.train.loop"]


def test_a_run_has_its_settings_records_and_predictions(run):
    assert run.config["optimizer"]["lr"] == 0.1
    run.config["optimizer"]["lr"] = 5
    assert run.config["optimizer"]["lr"] == 0.1
    assert run.classes == ("setosa", "versicolor", "virginica")
    assert run.summary["outcome"] == "finished"
    assert [row["epoch"] for row in run.metrics if "val/loss" in row] == [1, 2]
    assert run.metrics.column("test/loss")[-1] == run.summary["metrics"]["test/loss"]
    assert run.evaluate()["test/accuracy"] == run.summary["metrics"]["test/accuracy"]
    assert run.name in repr(run)
    found = run.predict(np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]))
    assert found.values.tolist() == ["setosa", "virginica"]
    assert found.probabilities.shape == (2, 3)
    assert found.columns == ["row", "prediction", "p_setosa", "p_versicolor", "p_virginica"]
    assert found[1]["p_virginica"] == pytest.approx(float(found.probabilities[1, 2]))


def test_the_model_takes_raw_rows_and_says_what_predict_says(run):
    rows = torch.tensor([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
    assert torch.allclose(run.model(rows), torch.tensor(run.predict(rows).probabilities), atol=1e-6)
    assert not run.model.training
    moved = run.model.to(torch.device("cpu"), torch.float32)
    assert torch.allclose(moved(rows).sum(1), torch.ones(2))
    assert run.model(torch.tensor([[float("nan"), 1, 1, 1]])).isnan().all()
    with torch.no_grad():
        next(run.model.parameters()).zero_()
    assert run.predict(rows).values.tolist() == ["setosa", "virginica"]  # which has weights of its own


@pytest.mark.parametrize("kind", ["prices", "cities", "images", "lines", "series"])
def test_each_kind_of_rows_is_predicted_as_from_its_file(small_root, kind):
    run = trainctl.load(small_runs.find(small_root, kind))
    for given, path in rows_in_memory(small_root, kind):
        expected, found = run.predict(path), run.predict(given)
        assert np.array_equal(found.values, expected.values)
        names = [name for name in found.columns if name not in ("file", "line")]
        assert [[row[name] for name in names] for row in found] == [[row[name] for name in names] for row in expected]


def rows_in_memory(root, kind):
    """Yield rows, and a file with the same ones."""
    if kind in ("prices", "cities"):
        records = [{"city": "Ulm", "age": 3, "price": 1.5}, {"city": "Bern", "age": 40.25, "price": 2.0}]
        Path("rows.csv").write_text("price,age,city\n1.5,3,Ulm\n2.0,40.25,Bern\n")
        yield records, "rows.csv"
        yield {name: [row[name] for row in records] for name in records[0]}, Path("rows.csv")
        pandas = pytest.importorskip("pandas")
        yield pandas.DataFrame(records), ["rows.csv"]
        yield pandas.DataFrame(records).astype({"age": "float32", "city": "category"}), "rows.*"
    elif kind == "images":
        image = root / "pets" / "cat" / "3.png"
        yield image.read_bytes(), image
        yield [image.read_bytes()], str(image)
    elif kind == "lines":
        Path("new.txt").write_text("cat 1\nnew dog\n")
        yield ["cat 1", "new dog"], "new.txt"
        yield [{"text": "cat 1"}, {"text": "new dog"}], Path("new.txt")
    else:
        Path("rows.csv").write_text("load\n1\n2\n3\n4\n")
        yield {"load": [1, 2, 3, 4]}, "rows.csv"
        yield [[[1.0], [2.0], [3.0]], [[2.0], [3.0], [4.0]]], "rows.csv"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([[1, 2]], r"rows: has shape \(1, 2\); this run takes rows of shape \(4,\)"),
        ([], "has shape"),
        ([["a", "b", "c", "d"]], "contains texts; expected numbers"),
        ([{"sepal_length": 1}], "column sepal_width is missing"),
        ([[1, 2, 3, None]], "row 0, column petal_width has a missing value"),
        ("nowhere.csv", "nowhere.csv: no such file"),
        ([{"a": 1}, 3], "row 1 is of another kind"),
        (object(), "expected numbers"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_wrong_rows_are_data_errors(run, given, expected):
    with pytest.raises(trainctl.DataError, match=expected):
        run.predict(given)


def test_identifiers_stay_with_the_predictions(small_root, tmp_path):
    pandas = pytest.importorskip("pandas")
    run = trainctl.load(small_runs.find(small_root, "prices"))
    frame = pandas.DataFrame({"customer_id": ["a", "b"], "city": ["Bern", "Ulm"], "age": [3, 4], "row": [7, 8]})
    found = run.predict(frame)
    assert found.columns == ["row", "customer_id", "price"]
    assert found.column("customer_id") == ["a", "b"]
    assert list(run.predict(frame.set_index("customer_id"))) == list(found)
    assert run.predict(frame.set_index("row")).columns == ["row", "customer_id", "price"]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert run.predict(tmp_path / "rows.csv").column("customer_id") == ["a", "b"]
    assert (run.predict(frame).values == run.predict(frame[["city", "age"]]).values).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "1"])
def test_an_image_of_pillow_is_predicted_as_its_file(small_root, tmp_path, mode):
    run = trainctl.load(small_runs.find(small_root, "images"))
    image = Image.new("RGB", (6, 5), (200, 90, 20)).convert(mode)
    image.save(tmp_path / "one.tiff")
    expected = run.predict(tmp_path / "one.tiff").probabilities
    assert np.array_equal(run.predict(image).probabilities, expected)
    assert np.allclose(run.predict([image, image]).probabilities, expected)


def test_errors_are_those_of_the_command_line():
    for words, error, expected in (
        (["optimizer=adm"], trainctl.ConfigError, "did you mean adam"),
        (["-m", "seed=0,1"], trainctl.ConfigError, "flags are for the command line"),
        (["processes=2"], trainctl.ConfigError, "this process alone"),
        (["no.csv"], trainctl.DataError, "no such file"),
        (["dataset=csv", "dataset.path=no.csv", "dataset.target=x"], trainctl.DataError, "no such file"),
    ):
        with pytest.raises(error, match=expected):
            trainctl.train(*words, quiet=True)
    with pytest.raises(trainctl.ConfigError, match="no such setting"):
        trainctl.train(settings={"lr": 1}, quiet=True)
    with pytest.raises(trainctl.CheckpointError, match="no runs found"):
        trainctl.load()
    with pytest.raises(trainctl.CheckpointError, match="nowhere"):
        trainctl.load("nowhere")
    assert list(trainctl.runs()) == []
    assert not Path("runs").exists()


class Frame:
    """What a data frame is like, wherever pandas is not installed."""

    def to_csv(self): ...


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        (Frame(), "to_csv('rows.csv', index=False), and give 'rows.csv'"),
        (np.zeros((2, 2)), "numpy.savez('rows.npz', inputs=..., targets=...)"),
        ({"optimizer.lr": 0.1}, "give it as settings={'optimizer.lr': 0.1}"),
        (5, "not a value of type int"),
        (None, "not a value of type NoneType"),
        (b"optimizer=adam", "not a value of type bytes"),
    ],
)
def test_a_word_that_is_neither_text_nor_path_is_named(run, word, hint):
    trains = () if isinstance(word, np.ndarray) else (trainctl.train,)  # it takes data
    for function in (*trains, lambda word: trainctl.load(run.path, word), run.resume):
        with pytest.raises(trainctl.ConfigError, match=re.escape(hint)):
            function(word)


SHORT = ("loop.epochs=2", "threads=1", "output.plots=false")
TABLE = {
    "age": [20.1, None, 42.5, 61.25] * 10,
    "code": ["007", "12", "007", "3"] * 10,
    "city": ["Ulm, A", "Bern\nB", "Ulm, A", "x"] * 10,
    "price": [1.5, 2.25, 3.0, 4.125] * 10,
}


TABLES = {  # the same rows as each kind of table that is taken
    "columns": lambda: TABLE,
    "arrays": lambda: {
        name: np.array(values, dtype=object if None in values else None) for name, values in TABLE.items()
    },
    "records": lambda: [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)],
    "pandas": lambda: pytest.importorskip("pandas").DataFrame(TABLE),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_in_memory_is_trained_on_and_read_again(tmp_path, kind):
    run = trainctl.train(TABLES[kind](), *SHORT, target="price", quiet=True)
    settings = run.config["dataset"]
    assert (settings["name"], settings["target"], settings["categorical"]) == ("csv", "price", ["code"])
    assert [Path(settings["path"])] == list((tmp_path / "runs" / "data").iterdir())
    assert run._opened.schema.class_names == ()
    rows = {name: values[:3] for name, values in TABLE.items() if name != "price"}
    again = trainctl.train(settings["path"], *SHORT, "dataset.target=price", "dataset.categorical=[code]", quiet=True)
    assert np.array_equal(run.predict(rows).values, again.predict(rows).values)  # as from a file of these rows
    assert verify.main([str(run.path)]) == 0
    assert run.resume("loop.epochs=3", quiet=True).summary["epochs"] == 3
    assert len(list((tmp_path / "runs" / "data").iterdir())) == 1  # the same rows are the same file
    assert {row["run"] for row in trainctl.runs()} == {run.name, again.name}


@pytest.mark.parametrize("classes", [["no", "yes"], [0, 1]])
def test_arrays_in_memory_are_trained_on_with_the_values_to_predict(classes):
    inputs = np.random.default_rng(0).normal(size=(60, 3))
    target = np.array(classes)[(inputs[:, 0] > 0).astype(int)]
    run = trainctl.train(inputs, "model=linear", *SHORT, target=target, quiet=True)
    assert run.config["dataset"]["name"] == "arrays"
    assert list(run.classes) == [str(name) for name in classes]
    assert run.predict(inputs[:5]).probabilities.shape == (5, 2)
    named = trainctl.train({"a": inputs[:, 0], "b": inputs[:, 1]}, *SHORT, target=target.tolist(), quiet=True)
    assert named.config["dataset"]["target"] == "target"
    assert list(named.classes) == [str(name) for name in classes]


def test_the_categories_of_a_data_frame_are_categories(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.0, 2.0, 3.5, 4.0] * 10, "floor": [1, 2, 3, 4] * 10}).astype({"floor": "category"})
    series = pandas.Series([1.5, 2.25, 3.0, 4.0] * 10, name="rent")
    run = trainctl.train(frame, *SHORT, f"output.root={tmp_path}/elsewhere", target=series, quiet=True)
    assert (run.config["dataset"]["categorical"], run.config["dataset"]["target"]) == (["floor"], "rent")
    other = trainctl.train(frame[:30], *SHORT, f"output.root={tmp_path}/elsewhere", target=series[:30], quiet=True)
    assert other.config["dataset"]["path"] != run.config["dataset"]["path"]  # other rows replace none
    assert len(list((tmp_path / "elsewhere" / "data").iterdir())) == 2
    assert not (tmp_path / "runs").exists()


def test_columns_of_a_data_frame_are_those_of_the_file_where_nothing_else_is_certain(tmp_path):
    pandas = pytest.importorskip("pandas")
    x, names = [row * 37 % 101 + 0.5 for row in range(60)], ["ab"[row % 2] for row in range(60)]
    reviews = [f"a film of {row} words that is long enough to be read" for row in range(60)]
    frames = {
        "guessed": (pandas.DataFrame({"x": x, "species": pandas.Categorical(names)}), None, "csv"),
        "texts": (
            pandas.DataFrame({"review": reviews, "zip": ["00123", "00456"] * 30, "stars": names}),
            "stars",
            "text",
        ),
        "identifiers": (
            pandas.DataFrame({"x": x, "n": [f"{row * 7919:07}" for row in range(60)], "t": names}),
            "t",
            "csv",
        ),
        "index": (pandas.DataFrame({"x": x, "t": names}, index=pandas.Index(range(7, 67), name="id")), "t", "csv"),
    }
    for name, (frame, target, kind) in frames.items():
        run = trainctl.train(frame, *SHORT, f"output.root={tmp_path / name}", target=target, quiet=True)
        assert run.config["dataset"]["name"] == kind
        assert not run.config["dataset"].get("categorical")
    (written,) = (tmp_path / "index" / "data").iterdir()
    assert written.read_text().partition("\n")[0] == "x,t"


@pytest.mark.parametrize(
    ("given", "target", "expected"),
    [
        ({"x": [1, 2], "y": [1]}, "y", "rows: the columns have different lengths (x 2, y 1)"),
        ({"x": [1, 2], "y": [1, 2]}, "z", "target=z: no such column (choose from: x, y)"),
        ({"x": [1, 2], "target": [1, 2]}, [5, 6], "target=target: the rows have a column of this name"),
        ({"x": [1, 2]}, [1, 2, 3], "target: has 3 values for 2 rows"),
        ({"x": [1, [2]]}, "x", "row 1, column x: contains a list; expected one value"),
        (
            np.zeros((4, 2)),
            None,
            "rows: an array has no names of columns; give the values to predict, as target=VALUES",
        ),
        ({"x": [], "y": []}, "y", "rows: there are none"),
        (np.array([[1, "a"]] * 4, dtype=object), [0, 1, 0, 1], "rows: the array holds Python objects"),
    ],
)
def test_data_in_memory_that_cannot_be_trained_on_are_said(given, target, expected):
    with pytest.raises(trainctl.DataError, match=re.escape(expected)):
        trainctl.train(given, target=target, quiet=True)
    assert not Path("runs").exists()


def test_data_go_first():
    with pytest.raises(trainctl.ConfigError, match=r"data go first: train\(DATA, 'model=mlp', target='COLUMN'\)"):
        trainctl.train("model=mlp", TABLE)


def test_the_target_of_a_file_may_be_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{row % 7}.5,{row % 3}.25\n" for row in range(40)))
    assert trainctl.train("t.csv", *SHORT, target="a", quiet=True).config["dataset"]["target"] == "a"


def test_a_path_is_a_word(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(trainctl.DataError, match=r"empty\.csv: needs a header and at least one row"):
        trainctl.train(tmp_path / "empty.csv")


def test_a_split_that_does_not_exist_is_named(run):
    with pytest.raises(trainctl.ConfigError, match=r"split=tset: no such split \(choose from: train, val, test, all\)"):
        run.evaluate("tset")


def test_quantiles_need_an_ensemble(run):
    with pytest.raises(trainctl.ConfigError, match="ensemble"):
        run.predict([[1, 2, 3, 4]], quantiles=[0.5])
    with pytest.raises(trainctl.ConfigError, match=r"expected numbers in \[0, 1\]"):
        run.predict([[1, 2, 3, 4]], quantiles=[5])


def test_the_process_is_left_as_it_was_in_any_thread(capfd):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    torch.set_num_threads(1)
    threads, path, here = set(threading.enumerate()), list(sys.path), Path.cwd()
    state, drawn = torch.get_rng_state(), (random.getstate(), np.random.get_state()[1].tolist())
    found = []

    def work():
        run = trainctl.train(*QUICK, quiet=True)
        found.append(run.predict([[5.1, 3.5, 1.4, 0.2]]).values)

    work()
    others = [threading.Thread(target=work) for _ in range(2)]  # they take turns
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(60)
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert torch.equal(torch.get_rng_state(), state)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == drawn
    assert (set(threading.enumerate()), sys.path, Path.cwd()) == (threads, path, here)
    assert torch.get_num_threads() == 1
    assert capfd.readouterr() == ("", "")


def test_a_file_is_a_word_and_its_reasons_are_shown(small_root, capfd):
    table = (small_root / "table.csv").read_text()
    Path("table.csv").write_text(table)
    words = ("dataset.target=city", "dataset.drop=[customer]", "model=linear", "loop.max_steps=1", "output.plots=false")
    run = trainctl.train("table.csv", *words)
    out = capfd.readouterr()[0]
    assert out.startswith("table.csv: ")
    assert "finished" in out
    assert run.config["dataset"]["name"] == "csv"
    assert [row["run"] for row in trainctl.runs()] == [run.name]
    assert trainctl.load().path == run.path
    os.utime(run.path)
    assert trainctl.runs()[0]["dataset"] == "csv"


def test_an_interrupt_saves_the_run_and_raises():
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's job in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt():
        while not any(path.stat().st_size for path in Path("runs").glob("*/metrics.jsonl")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(trainctl.Interrupted, match="the run is saved; resume with: trainctl resume"):
        trainctl.train(*QUICK[:2], "loop.epochs=100000", "output.plots=false", "threads=1", quiet=True)
    assert trainctl.load("last").summary["outcome"] == "interrupted"


def test_a_table_is_a_list_of_rows_and_a_data_frame():
    found = trainctl.Table([{"a": 1, "b": "<x>"}, {"a": 2.5}] + [{"a": 3}] * 20)
    assert found.column("b")[:2] == ["<x>", None]
    assert found[1:2] == trainctl.Table([{"a": 2.5}])
    assert "&lt;x&gt;" in found._repr_html_()
    assert repr(found).endswith("and 2 more rows")
    with pytest.raises(KeyError, match="no such column"):
        found.column("c")
    frame = pytest.importorskip("pandas") and found.to_pandas()
    assert frame["a"].tolist() == found.column("a")


@pytest.mark.slow
def test_a_users_script_is_typed(tmp_path):
    pytest.importorskip("mypy")
    script = tmp_path / "script.py"
    script.write_text(
        "import trainctl\n"
        "run = trainctl.train('optimizer=adam', settings={'optimizer.lr': 0.1}, quiet=True)\n"
        "reveal_type(run)\n"
        "reveal_type(trainctl.load('last').predict([[1.0]]).probabilities)\n"
        "reveal_type(run.metrics[0]['val/loss'])\n"
        "reveal_type(trainctl.sklearn.Classifier(epochs=3).epochs)\n"
        "trainctl.load(3)\n"
        "trainctl.train(quiet=1.5)\n"
    )
    # As a package that is installed: what its functions do is not checked, nor what it imports and does not hand out.
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nfollow_imports = silent\n"
        "[mypy-torch.*,torchvision.*,sklearn.*,matplotlib.*,pandas.*,rich.*,hydra.*,omegaconf.*,PIL.*,optuna.*,onnx.*]\n"
        "follow_imports = skip\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache" / "api"), str(script)],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"MYPYPATH": str(ROOT)},
    )  # fmt: skip
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith(script.name)]
    assert lines[0] == 'note: Revealed type is "trainctl.api.opened.Run"'
    assert "numpy.ndarray" in lines[1]
    assert "None" in lines[1]
    assert lines[2] == 'note: Revealed type is "Any"'
    assert "int" in lines[3]
    assert [line.startswith("error: Argument") for line in lines] == [False] * 4 + [True] * 2


def test_a_resumed_run_is_one_that_was_never_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    whole = trainctl.train(*QUICK, "loop.epochs=3", quiet=True)
    with pytest.raises(trainctl.Interrupted):
        trainctl.train(*QUICK, "loop.epochs=3", "loop.stop_at_step=5", quiet=True)
    stopped = trainctl.load("last")
    before, threads = np.random.get_state()[1].tolist(), torch.get_num_threads()
    found = stopped.resume(quiet=True)
    assert (found.path, found.which, found.summary["outcome"]) == (stopped.path, "best", "finished")
    losses = [[row.get("train/loss") for row in each.metrics] for each in (found, whole)]
    assert losses[0] == losses[1]
    assert found.predict([[5.1, 3.5, 1.4, 0.2]]).probabilities == pytest.approx(
        whole.predict([[5.1, 3.5, 1.4, 0.2]]).probabilities, abs=0
    )
    assert (np.random.get_state()[1].tolist(), torch.get_num_threads()) == (before, threads)
    assert capsys.readouterr().out == ""
    with pytest.warns(trainctl.Advice, match="is finished .* nothing to do; to train longer, raise loop.epochs"):
        found.resume(quiet=True)
    assert found.resume("loop.epochs=4", quiet=True).summary["steps"] == 16
    with pytest.raises(trainctl.ConfigError, match="cannot change in an existing run"):
        found.resume("optimizer.lr=1", quiet=True)
    with pytest.raises(trainctl.ConfigError, match="processes"):
        found.resume("processes=2", "loop.epochs=5", quiet=True)
