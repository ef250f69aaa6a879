"""Texts of the user's own."""

import unicodedata

import pytest
import torch

from tests.schemas import schema
from tests.soak import cases, seed
from trainctl.components.dataset.text import text
from trainctl.errors import ConfigError, DataError

KEYS = {
    "text": "words", "target": "y", "level": "words", "lowercase": True, "max_length": 4, "max_vocabulary": None,
    "min_count": 1, "delimiter": "comma", "encoding": "auto", "schema": None,
    "task": "auto", "normalize": "nfc", "splits": "auto", "drop": [],
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


def test_a_file_may_have_a_name_that_would_mean_a_missing_value_in_a_table(tmp_path):
    for name in ("none", "NA", "10", "9"):
        (tmp_path / f"{name}.txt").write_text("a text\n")
    assert text(**KEYS | {"path": str(tmp_path)}).class_names == ("10", "9", "NA", "none")
    for name in ("none", "NA"):
        (tmp_path / f"{name}.txt").unlink()
    assert text(**KEYS | {"path": str(tmp_path)}).class_names == ("9", "10")


def test_a_file_of_another_class_than_the_finished_runs_is_named(tmp_path):
    for name in ("one", "three"):
        (tmp_path / f"{name}.txt").write_text("a text\n")
    trained = schema(vocabulary=("<pad>",), class_names=("one", "two"))
    with pytest.raises(DataError, match=r"three\.txt: its name is not one of the run's classes \(one, two\)"):
        text(**KEYS | {"path": str(tmp_path), "schema": trained})


@pytest.fixture
def reviews(tmp_path):
    def write(*places, suffix=".txt"):
        for place in places:
            for name in ("neg", "pos"):
                (tmp_path / "reviews" / place / name / "deep").mkdir(parents=True)
                for index, folder in enumerate((".", "deep")):
                    file = tmp_path / "reviews" / place / name / folder / f"{index}{suffix}"
                    file.write_text(f"{name} film\n\nof two paragraphs\n")
        return tmp_path / "reviews"

    return write


def test_a_folder_for_each_class_has_a_text_in_each_file(reviews):
    dataset = text(**KEYS | {"path": str(reviews("")), "max_length": 9})
    assert dataset.class_names == ("neg", "pos")
    assert dataset.targets.tolist() == [0, 0, 1, 1]
    assert words(dataset)[0] == ["neg", "film", "of", "two", "paragraphs"]
    assert dataset.encoding.whole_files
    assert "files with one text each, each folder is a class" in dataset.inferred[0][1]


def test_folders_of_texts_may_be_splits(reviews):
    root = reviews("train", "test")
    (root / "README.txt").write_text("not a text of a class")
    dataset = text(**KEYS | {"path": str(root)})
    assert (dataset.class_names, dataset.test_rows) == (("neg", "pos"), 4)
    assert "not used, because they are in no class folder: 1 text, such as README.txt" in dataset.notes[0]


def test_files_without_a_suffix_are_texts_if_there_are_no_others(reviews):
    root = reviews("", suffix="")
    assert len(text(**KEYS | {"path": str(root)}).inputs) == 4
    (root / "neg" / "new.txt").write_text("neg")
    with pytest.raises(DataError, match="pos: contains no texts"):
        text(**KEYS | {"path": str(root), "splits": "none", "drop": ["other"]} | {"drop": []})


def test_files_that_are_the_classes_win_over_a_folder_next_to_them(tmp_path):
    for name in ("a.txt", "b.txt", "old/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("some text\n")
    dataset = text(**KEYS | {"path": str(tmp_path)})
    assert dataset.class_names == ("a", "b")
    assert "old: its texts are not used, because the .txt files next to it are the classes" in dataset.notes


def test_empty_and_unreadable_texts_are_listed_and_can_be_skipped(reviews):
    root = reviews("train", "val")
    (root / "train" / "neg" / "0.txt").write_text(" \n")
    (root / "val" / "pos" / "0.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"2 of 8 texts cannot be read; dataset\.damaged=skip") as caught:
        text(**KEYS | {"path": str(root)})
    assert "neg/0.txt: contains no text" in str(caught.value)
    assert "pos/0.txt, line 1: cannot be read: byte 0xe9 is not UTF-8" in str(caught.value)
    dataset = text(**KEYS | {"path": str(root), "damaged": "skip"})
    assert (dataset.targets.tolist(), dataset.val_rows) == ([0, 1, 1, 0, 0, 1], 3)
    assert "skipped 2 of 8 texts" in dataset.notes[0]


def test_empty_cells_are_counted_and_can_be_skipped(load):
    content = "words,y\nok,a\n,b\n  ,a\nfine,b\nnone,a\n?,b\n"
    with pytest.raises(DataError, match="2 of 6 texts cannot be read") as caught:
        load(content)
    assert "line 3, column words: contains no text\n" in str(caught.value)
    dataset = load(content, damaged="skip")
    assert dataset.lines.tolist() == [2, 5, 6, 7]
    assert dataset.targets.tolist() == [0, 1, 0, 1]
    assert words(dataset)[2][0] == "none"  # a text, whatever it would mean as a value


def test_texts_that_are_cut_are_counted(load):
    assert load(max_length=2).notes == ("2 of 4 texts are cut after 2 tokens (dataset.max_length); the longest has 6",)
    assert load(max_length=6).notes == ()
    assert load(f'words,y\n"{"very " * 50_000}",a\nok,b\n').inputs.shape == (2, 4)


def test_the_task_can_be_named(load):
    content = "words,y\n" + "ok,1\nbad,2\n" * 9
    assert load(content).task == "classification"
    assert load(content, task="regression").task == "regression"


def test_the_same_word_is_the_same_token_however_it_is_composed(load):
    content = "words,y\ncaf\u00e9,a\ncafe\u0301,b\n"
    dataset = load(content)
    assert dataset.inputs[0].tolist() == dataset.inputs[1].tolist()
    assert dataset.encoding.normalize == "nfc"
    old = load(content, normalize="legacy")
    assert old.inputs[0].tolist() != old.inputs[1].tolist()
    assert words(old)[1] == ["cafe", "\u0301"]


def test_lines_of_class_files_are_those_of_an_editor(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\u2028still one\r\ntwo\x0cstill two\rthree\x85still three\n".encode())
    (tmp_path / "b.txt").write_bytes(b"four")
    assert text(**KEYS | {"path": str(tmp_path), "max_length": 1}).targets.tolist() == [0, 0, 0, 1]
    assert len(text(**KEYS | {"path": str(tmp_path), "normalize": "legacy"}).targets) == 7


# Words of many scripts, each one token, in lower case and composed.
WORDS = [
    "film", "caf\u00e9", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e19\u0e49\u0e33", "\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u1ec7", "\ud55c\uad6d\uc5b4", "\u4e2d\u6587", "\u0451\u0436",
    "\U0001f600", "\U0001f44d\U0001f3fd", "\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "!", "\u060c",
]  # fmt: skip
GAPS = [" ", "\u00a0", "\t", "\u2028", "\x0c", "\x85", "  "]  # within a line of an editor


@pytest.mark.soak
def test_texts_of_any_script_and_line_ends_are_the_words_that_were_written(tmp_path):
    source = seed("scripts")
    for _ in range(cases(25)):
        truth = {}
        for name in ("a", "b"):
            rows = [
                [source.choice(WORDS) for _ in range(source.choice((0, 1, 3)))] for _ in range(source.randint(1, 6))
            ]
            rows.append(["film"])
            end = source.choice(("\n", "\r\n", "\r"))
            content = end.join("".join(word + source.choice(GAPS) for word in row) for row in rows)
            form, mark = source.choice(("NFC", "NFD")), source.choice(("", "\ufeff"))
            (tmp_path / f"{name}.txt").write_bytes((mark + unicodedata.normalize(form, content)).encode())
            truth[name] = [row for row in rows if row]
        dataset = text(**KEYS | {"path": str(tmp_path)})
        found = [[word for word in row if word != "<pad>"] for row in words(dataset)]
        assert found == [row for name in ("a", "b") for row in truth[name]]
