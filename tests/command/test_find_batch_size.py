"""The measurement of batch sizes as a command: its table, its suggestion, and that it leaves nothing behind."""

import re
import shlex

import pytest

from trainctl import cli
from trainctl.command import find_batch_size
from trainctl.errors import ConfigError
from trainctl.settings import compose

QUICK = ("device=cpu", "dataset=wine", "seconds=0.001")


@pytest.fixture
def found(capsys):
    def run(*words):
        assert find_batch_size.main([*QUICK, *words]) == 0
        return capsys.readouterr().out

    return run


def sizes(text):
    return [int(size) for size in re.findall(r"^ *(\d+)[* ] +[\d.e+]+ +[\d,]+", text, re.MULTILINE)]


def test_it_measures_powers_of_two_up_to_the_training_split_and_leaves_nothing_behind(found, tmp_path):
    text = found()
    assert re.search(r"^ *batch size +ms/step +samples/s$", text, re.MULTILINE)
    assert sizes(text) == [1, 2, 4, 8, 16, 32, 64]  # of 124 rows
    assert text.count(" fastest") == 1
    assert "64 is the largest tried; it fits; suggested: " in text
    assert not list(tmp_path.iterdir())


def test_a_limit_may_be_set(found):
    assert sizes(found("max_size=5")) == [1, 2, 4]


def test_the_command_that_it_prints_composes_and_speaks_of_the_learning_rate(found):
    text = found("loop.batch_size=3", "augment=[]", "max_size=8")
    chosen = int(re.search(r"suggested: (\d+)", text)[1])
    typed = shlex.split(re.search(r"^Use: (.*)$", text, re.MULTILINE)[1])
    assert typed == ["trainctl", f"loop.batch_size={chosen}", "device=cpu", "dataset=wine", "augment=[]"]
    assert compose.compose(typed[1:]).tree["loop"]["batch_size"] == chosen
    assert f"The learning rate was set for batches of 3: multiply it by {chosen / 3:.3g} for SGD" in text
    assert f"trainctl find-lr loop.batch_size={chosen} " in text


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=diabetes", "optimizer=sgd"), ("model=autoencoder",), ("loop.batch_size=full",),
        ("dataset=digits", "model=cnn", "model.norm=batch", "augment=[crop,flip]", "loop.micro_batches=2", "max_size=64"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_it_composes_with_what_training_takes(found, words):
    assert "suggested: " in found(*words)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("max_size=0", r"max_size=0: expected a whole number in \[1, inf\)"),
        ("seconds=0", r"seconds=0: expected a number in \(0, 3600\]"),
        ("seconds=x", "seconds=x: expected"),
        ("loop.batchsize=1", r"did you mean loop\.batch_size=1"),
        ("32", "32: unexpected argument"),
    ],
)
def test_wrong_words_are_answered_before_anything_is_built(word, message):
    with pytest.raises(ConfigError, match=message):
        find_batch_size.main([*QUICK, word])


def test_a_limit_that_a_batch_norm_cannot_keep_is_said_so():
    with pytest.raises(ConfigError, match="max_size=1: a batch norm needs larger batches"):
        find_batch_size.main([*QUICK, "model.norm=batch", "max_size=1"])


def test_the_verb_has_dashes_and_its_module_underscores(capsys):
    assert cli.dispatch(["find-batch-size", *QUICK, "max_size=2"]) == 0
    assert "Use: trainctl loop.batch_size=" in capsys.readouterr().out
