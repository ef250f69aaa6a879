"""Texts of the user's own."""

import pytest
import torch

from tests.schemas import schema
from trainctl.components.dataset.text import text
from trainctl.errors import ConfigError, DataError

KEYS = {
    "text": "words", "target": "y", "level": "words", "lowercase": True, "max_length": 4, "max_vocabulary": None,
    "min_count": 1, "delimiter": "comma", "schema": None, "task": "auto", "normalize": "nfc", "splits": "auto", "drop": [],
    "damaged": "error",
}  # fmt: skip
FILE = 'words,y\n"Good, good!",yes\nbad,no\nquite rare words at the end,no\ngood,yes\n'


@pytest.fixture
def load(tmp_path):
    def read(content=FILE, **changes):
        (tmp_path / "my.csv").write_text(content)
        return text(**KEYS | {"path": str(tmp_path / "my.csv")} | changes)

    return read


def words(dataset):
    return [[dataset.vocabulary[token] for token in row] for row in dataset.inputs.tolist()]


def test_texts_are_cut_padded_and_spelt_by_the_vocabulary(load):
    dataset = load()
    assert dataset.inputs.dtype == torch.int64
    assert words(dataset)[:3] == [["good", ",", "good", "!"], ["bad", *["<pad>"] * 3], ["quite", "rare", "words", "at"]]
    assert dataset.class_names == ("no", "yes")
    assert dataset.targets.tolist() == [1, 0, 0, 1]


def test_the_vocabulary_is_that_of_the_training_rows(load):
    dataset = load()
    learned = dataset.learn(dataset, torch.tensor([0, 1]))
    assert learned.vocabulary == ("<pad>", "<unknown>", "good", "!", ",", "bad")
    assert words(learned)[2:] == [["<unknown>"] * 4, ["good", *["<pad>"] * 3]]
    assert learned.learn is None


@pytest.mark.parametrize(("changes", "kept"), [({"max_vocabulary": 3}, ["good"]), ({"min_count": 2}, ["good"])])
def test_the_vocabulary_can_be_limited(load, changes, kept):
    dataset = load(**changes)
    assert list(dataset.learn(dataset, torch.arange(2)).vocabulary[2:]) == kept


def test_a_finished_runs_vocabulary_length_and_classes_are_used(load):
    trained = schema(vocabulary=("<pad>", "<unknown>", "bad"), input_shape=(2,))
    dataset = load("words,y\nBad bad bad,no\nnew,no\n", schema=trained)
    assert dataset.inputs.tolist() == [[2, 2], [1, 0]]
    assert dataset.class_names == ("no", "yes")
    assert dataset.learn is None


def test_a_directory_holds_a_file_for_each_class(load, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "Czech.txt").write_text("Ajdrna\n\nAdsit\n", encoding="utf-8")
    (folder / "Arabic.txt").write_text("Khoury\n", encoding="utf-8")
    dataset = load(path=str(folder), text=None, target=None, level="characters", max_length=9)
    assert dataset.class_names == ("Arabic", "Czech")
    assert dataset.targets.tolist() == [0, 1, 1]
    assert "".join(words(dataset)[2][:5]) == "adsit"
    assert dataset.inputs.shape == (3, 6)
    (folder / "Arabic.txt").write_bytes(b"ok\n\xff\n")
    with pytest.raises(DataError, match=r"Arabic\.txt, line 2"):
        load(path=str(folder), text=None, target=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("words,y\nok,a\n,b\n", "line 3, column words: contains no text"),
        ("word,y\nok,a\nok,b\n", r"line 1: column words is missing; did you mean word\?"),
        ("words,z\nok,a\nok,b\n", "line 1: column y is missing"),
        ("words,y\nok,a\nok\n", "line 3: has 1 cells"),
    ],
)
def test_mistakes_are_named_by_line_and_column(load, content, message):
    with pytest.raises(DataError, match=message):
        load(content)


@pytest.mark.parametrize("key", ["text", "target"])
def test_columns_have_to_be_named(load, key):
    with pytest.raises(ConfigError, match=rf"dataset\.{key}=null: set"):
        load(**{key: None})


def test_a_file_whose_name_means_a_missing_class_is_refused(tmp_path):
    for name in ("none", "two"):
        (tmp_path / f"{name}.txt").write_text("a text\n")
    with pytest.raises(DataError, match=r"none\.txt: none means a missing class"):
        text(**KEYS | {"path": str(tmp_path)})


def test_a_file_of_another_class_than_the_finished_runs_is_named(tmp_path):
    for name in ("one", "three"):
        (tmp_path / f"{name}.txt").write_text("a text\n")
    trained = schema(vocabulary=("<pad>",), class_names=("one", "two"))
    with pytest.raises(DataError, match=r"three\.txt: its name is not one of the run's classes \(one, two\)"):
        text(**KEYS | {"path": str(tmp_path), "schema": trained})
