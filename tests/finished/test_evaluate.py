"""A finished run is measured with its weights and its data alone: nothing of what trains it is built."""

import json
from pathlib import Path

import pytest
from sklearn.metrics import precision_recall_fscore_support

from tests.finished import test_open as test_loading
from tests.finished.test_open import Say
from trainctl.errors import ConfigError
from trainctl.finished.evaluate import class_scores, evaluate
from trainctl.finished.open import open as open_run
from trainctl.run import assemble
from trainctl.settings import compose
from trainctl.store import restore
from trainctl.train import evaluation, session

say = test_loading.say
ROWS = [f"{row % 7},{row % 5},{'abc'[row % 3]}\n" for row in range(90)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run on a table whose batches have more parts than later files have rows."""
    (tmp_path / "t.csv").write_text("".join(["x,y,kind\n", *ROWS]))
    words = (
        "dataset=csv", f"dataset.path={tmp_path / 't.csv'}", "dataset.target=kind", "model=mlp", "model.hidden=[5]",
        "model.norm=batch", "average=swa", "average.start_fraction=0.0", "loop.batch_size=40", "loop.micro_batches=8",
        "loop.epochs=3", "schedule.warmup_steps=3", "schedule=cosine", "output.plots=false",
    )  # fmt: skip
    session.begin(compose.compose(words), [], tmp_path / "run")
    return tmp_path / "run"


def test_a_file_with_fewer_rows_than_a_batch_has_parts_is_measured_without_a_word_about_training(
    run: Path, say: Say, tmp_path: Path
) -> None:
    (tmp_path / "few.csv").write_text("".join(["x,y,kind\n", *ROWS[:5]]))
    code, out, err = say("evaluate", run, f"dataset.path={tmp_path / 'few.csv'}", "split=all", "format=json")
    assert code == 0, err
    assert json.loads(out)["rows"] == 5
    assert "loop." not in err


@pytest.mark.parametrize("teacher", ["none", "mean"])
def test_labels_that_were_hidden_stay_hidden_and_the_data_is_the_runs_own(
    say: Say, tmp_path: Path, teacher: str
) -> None:
    words = ["dataset=digits", "model=linear", f"teacher={teacher}", "split.labels=50", "loop.max_steps=2"]
    session.begin(compose.compose([*words, "output.plots=false"]), [], tmp_path / "run")
    code, out, err = say("evaluate", tmp_path / "run", "split=all", "format=json")
    assert code == 0, err
    assert json.loads(out)["rows"] == 50 + 270 + 270
    assert err == "trainctl: note: 1,207 rows have no label and are not measured\n"
    for split, rows in (("train", 50), ("test", 270)):
        code, out, err = say("evaluate", tmp_path / "run", f"split={split}", "format=json")
        assert (code, json.loads(out)["rows"], err) == (0, rows, "")


def test_all_labels_of_other_data_are_measured(say: Say, tmp_path: Path) -> None:
    for name, last in (("t", 90), ("few", 5)):
        (tmp_path / f"{name}.csv").write_text("".join(["x,y,kind\n", *ROWS[:last]]))
    words = [
        "dataset=csv",
        f"dataset.path={tmp_path / 't.csv'}",
        "dataset.target=kind",
        "model=linear",
        "loop.max_steps=2",
    ]
    session.begin(compose.compose([*words, "split.labels=10", "output.plots=false"]), [], tmp_path / "run")
    code, out, err = say(
        "evaluate", tmp_path / "run", f"dataset.path={tmp_path / 'few.csv'}", "split=all", "format=json"
    )
    assert (code, json.loads(out)["rows"]) == (0, 5), err
    assert "this is not the data that the run was trained with" in err


def test_what_is_measured_is_what_training_measured(run: Path) -> None:
    finished = open_run(run, [], [], [])
    trained = assemble.assemble(finished.config)
    restore.restore(trained, finished.saved)
    assert trained.evaluation.model is trained.average.model is not trained.model
    trained.evaluation.model.load_state_dict(trained.state.best_weights)
    for split in ("val", "test"):
        assert evaluate(finished, split, "best").metrics == evaluation.evaluate(trained.evaluation, split)


def test_an_opened_run_knows_its_data_and_what_was_typed(run: Path) -> None:
    finished = open_run(run, [], ["device=cpu"], ["device"], payloads=["best"])
    assert (finished.schema.class_names, finished.schema.input_names) == (("a", "b", "c"), ("x", "y"))
    assert (finished.config.device, finished.overrides, finished.notes) == ("cpu", ("device=cpu",), ())
    assert finished.weights("last").step == 6
    with pytest.raises(ConfigError, match=r"seed=1: cannot change in an existing run"):
        open_run(run, [], ["seed=1"], ["device"])


def test_a_damaged_description_of_the_data_is_named(run: Path, say: Say) -> None:
    test_loading.rewrite(run, lambda manifest: manifest["data"].update(outputs="three"))
    for command in ("evaluate", "verify", "resume"):
        code, _, err = say(command, run)
        assert code == 4
        assert "step-00000006.json: data.outputs: expected a whole number of at least 1" in err


def test_scores_of_classes_equal_those_of_scikit_learn() -> None:
    counts = [[3, 1, 0], [2, 0, 0], [0, 0, 4]]
    truth = [row for row, line in enumerate(counts) for count in line for _ in range(count)]
    predicted = [column for line in counts for column, count in enumerate(line) for _ in range(count)]
    expected = precision_recall_fscore_support(truth, predicted, zero_division=0.0)
    for index in range(3):
        scores = class_scores("abc"[index], index, counts)
        measured = (scores.precision, scores.recall, scores.f1, scores.rows)
        assert measured == pytest.approx([column[index] for column in expected])
    nothing = class_scores("d", 1, [[1, 0], [0, 0]])
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)
