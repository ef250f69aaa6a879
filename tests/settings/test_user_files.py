"""A user's files: what YAML makes of their words is said, and those of another project do not stand in the way."""

import sys
import warnings
from pathlib import Path

import pytest

from tests.soak import cases, seed
from trainctl import cli
from trainctl.errors import Advice, ConfigError
from trainctl.settings import compose, hydra_flags, hydra_tree

MINE = "# @package _global_\ndefaults:\n  - override /dataset: csv\ndataset:\n  path: t.csv\n"


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def message(*words):
    hydra_tree._compose_members.cache_clear()
    with pytest.raises(ConfigError) as caught:
        compose.compose(list(words))
    return str(caught.value)


@pytest.mark.soak
def test_words_that_yaml_reads_as_something_else_are_named_and_the_advice_works():
    source = seed("yaml")
    words = ["no", "on", "yes", "off", "True", "2010", "1e3", "1.5", ".nan", "0x1F", "1_000"]
    for number in range(cases(4)):
        word, item = source.choice(words), source.choice(words)
        write("conf/recipe/mine.yaml", f"{MINE}  target: {word}\n  drop: [a, {item}]\n")
        said = message("recipe=mine").splitlines()
        assert [line.partition("=")[0] for line in said] == ["dataset.target", "dataset.drop"], number
        assert f"mine.yaml, line 6, YAML does not read {word} as a string without quotes" in said[0]
        assert said[0].endswith(f": quote it, target: '{word}'")
        assert said[1].endswith(f"quote it, drop: ['a', '{item}']")
        advice = [line.rpartition("quote it, ")[2] for line in said]
        write("conf/recipe/mine.yaml", MINE + "".join(f"  {line}\n" for line in advice))
        hydra_tree._compose_members.cache_clear()
        tree = compose.compose(["recipe=mine"]).tree["dataset"]
        assert (tree["target"], tree["drop"]) == (word, ["a", item])


@pytest.mark.parametrize("word", ["1:30", "010", "1:30:00", "007"])
def test_a_number_in_another_base_is_never_read_in_silence(word):
    write("conf/recipe/mine.yaml", f"# @package _global_\nloop:\n  epochs: {word}\n")
    assert f"mine.yaml, line 3: epochs: YAML does not read {word} the way it looks" in message("recipe=mine")


def test_another_projects_directory_is_left_alone(monkeypatch, capsys):
    write("conf/config.yaml", "defaults:\n  - model: mlp\nseed: 1\n")
    write("conf/model/mlp.yaml", "_target_: src.models.MLP\nhidden: 64\n")
    write("conf/optimizer/adam.yaml", "_target_: torch.optim.Adam\nlr: 0.5\n")
    write("conf/hydra/default.yaml", "run:\n  dir: logs\n")
    tree = compose.compose([]).tree
    assert (tree["seed"], tree["optimizer"]["lr"], tree["model"]["name"]) == (0, 0.001, "mlp")
    write("conf/optimizer/adam.yaml", "name: adam\nlr: 0.5\n")
    assert "has the same name as a built-in optimizer" in message()
    Path("conf/optimizer/adam.yaml").unlink()
    Path("conf").rename("theirs")
    with pytest.raises(ConfigError, match="has the same name as a built-in model"):  # what is named is meant
        compose.compose([], "theirs")
    Path("theirs/model/mlp.yaml").unlink()
    with pytest.warns(
        Advice, match=r"theirs/config.yaml: is not read; to use its settings, move it to .*use recipe=config"
    ):
        compose.compose([], "theirs")
    monkeypatch.setattr(sys, "argv", ["trainctl", "--config-dir", "theirs", "--cfg", "job"])
    assert cli.main() == 0
    assert "config.yaml: is not read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "group", "name", "note"),
    [
        ("recipe=cifar10_resnet optimizer=adam", "optimizer", "adam", "optimizer.lr=0.1"),
        ("optimizer=adam recipe=cifar10_resnet", "optimizer", "adam", "optimizer.momentum=0.9"),
        ("recipe=cifar10_resnet schedule=step", "schedule", "step", "schedule.milestones=[0.5,0.75]"),
        ("recipe=mnist_rnn model=mlp", "model", "mlp", "model.cell=lstm"),
    ],
)
def test_a_typed_member_wins_over_a_recipe_with_its_own_settings(words, group, name, note):
    with pytest.warns(Advice, match="left out with") as notes:
        tree = compose.compose(words.split()).tree
    assert note in "\n".join(str(row.message) for row in notes)
    assert tree[group] == compose.compose([f"{group}={name}"]).tree[group]
    shown = hydra_flags.for_hydra(words.split())
    assert [word for word in shown if word.startswith((f"~{group}.", f"{group}."))] != []


def test_a_typed_member_that_is_the_recipes_own_keeps_its_settings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = compose.compose(["recipe=cifar10_resnet", "optimizer=sgd", "optimizer.momentum=0.5"]).tree
    assert (tree["optimizer"]["lr"], tree["optimizer"]["momentum"]) == (0.1, 0.5)
