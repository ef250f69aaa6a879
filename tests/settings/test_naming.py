"""A run's name tells its data, its model and what was changed."""

import pytest

from trainctl.settings import compose, naming
from trainctl.settings.config import slug

NAMES = [
    ([], "digits-mlp-adam"),
    (["optimizer.lr=0.1", "schedule=cosine"], "digits-mlp-adam-lr=0.1-cosine"),
    (["model=cnn", "optimizer=sgd", "seed=3"], "digits-cnn-sgd-seed=3"),
    (["recipe=overfit"], "diabetes-mlp-adam-overfit"),
    (["schedule=none", "optimizer=adam"], "digits-mlp-adam"),  # what the default run has, too
    (["device=cpu", "threads=1", "output.plots=false", "output.tags=[x]"], "digits-mlp-adam"),
    (["output.name=baseline", "seed=3"], "baseline"),
    (
        ["seed=0", "loop.epochs=30", "loop.compile=false", "optimizer.lr=0.001", "model.dropout=0.3"],
        "digits-mlp-adam-dropout=0.3",
    ),
    (["optimizer=sgd", "optimizer.lr=0.001", "optimizer.momentum=0.9"], "digits-mlp-sgd-lr=0.001"),
    (["seed=1", "seed=0"], "digits-mlp-adam"),  # the last word counts
    (["seed=0", "seed=1"], "digits-mlp-adam-seed=1"),
    (["augment=[noise]", "augment.noise.std=0.1"], "digits-mlp-adam-noise"),
    (["recipe=overfit", "loop.epochs=30"], "diabetes-mlp-adam-overfit-epochs=30"),
    (["augment=[noise,flip]"], "digits-mlp-adam-noise+flip"),
    (["dataset=csv", "dataset.path=/data/my wine.csv.gz", "dataset.target=x"], "my-wine-mlp-adam"),
    (["model.hidden=[64,64]", "split.seed=3"], "digits-mlp-adam-hidden=64+64-seed=3"),
]


@pytest.mark.parametrize(("words", "name"), NAMES, ids=[name for _, name in NAMES])
def test_a_name_tells_the_data_the_model_and_what_was_changed(words, name):
    assert slug(naming.label(compose.compose(words), words)) == name


def test_a_name_keeps_its_last_changes_and_a_length_that_a_table_has_room_for():
    words = [
        f"loop.{key}={value}"
        for key, value in (("epochs", 7), ("batch_size", 64), ("clip_norm", 1.0), ("eval_every_steps", 9))
    ]
    name = naming.label(compose.compose(words), words)
    assert len(name) <= naming.LONGEST
    assert name.endswith("eval_every_steps=9")


def test_defaults_of_the_project_are_in_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trainctl.yaml").write_text("seed: 3\n")
    words = ["seed=3", "optimizer.lr=0.1"]
    assert naming.label(compose.compose(words), words) == "digits-mlp-adam-lr=0.1"


def test_what_the_default_run_has_is_in_the_name_where_the_project_has_another_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trainctl.yaml").write_text("seed: 3\noptimizer: {name: sgd, lr: 0.5}\n")
    words = ["optimizer=sgd", "seed=0", "loop.epochs=30", "optimizer.lr=0.01"]
    assert naming.label(compose.compose(words), words) == "digits-mlp-sgd-seed=0-lr=0.01"
