"""The range test as a command: its curve, its suggestion, and that it leaves nothing behind."""

import re
import shlex

import pytest

from trainctl import cli
from trainctl.command import find_lr
from trainctl.errors import ConfigError
from trainctl.settings import compose

QUICK = ("device=cpu", "dataset=wine", "steps=40")


@pytest.fixture
def found(capsys):
    def run(*words):
        assert find_lr.main([*QUICK, *words]) == 0
        return capsys.readouterr().out

    return run


def test_it_draws_the_curve_and_leaves_nothing_behind(found, tmp_path):
    text = found()
    assert re.search(r"^ *lr +loss +smoothed loss$", text, re.MULTILINE)
    assert len(re.findall(r"^\d\.\de-\d\d .*#", text, re.MULTILINE)) >= 10
    assert re.search(r"#.* lowest$", text, re.MULTILINE)
    assert "\x1b" not in text
    assert not list(tmp_path.iterdir())


def test_the_command_that_it_prints_composes_and_uses_the_suggestion(found):
    text = found("optimizer=sgd", "augment=[]", "optimizer.lr=7.0", "loop.batch_size=16")
    suggestion = re.search(r"suggested: ([\d.e-]+), a tenth", text)[1]
    typed = shlex.split(re.search(r"^Use: (.*)$", text, re.MULTILINE)[1])
    assert typed[:2] == ["trainctl", f"optimizer.lr={suggestion}"]
    assert typed[2:] == ["device=cpu", "dataset=wine", "optimizer=sgd", "augment=[]", "loop.batch_size=16"]
    tree = compose.compose(typed[1:]).tree
    assert tree["optimizer"]["lr"] == float(suggestion)
    assert 1e-5 < float(suggestion) < 1


def test_rates_that_rose_together_are_used_together(found):
    text = found("optimizer=muon", "optimizer.adamw_lr=0.002")  # a tenth of muon's own
    typed = shlex.split(re.search(r"^Use: (.*)$", text, re.MULTILINE)[1])
    keys = compose.compose(typed[1:]).tree["optimizer"]
    assert keys["lr"] == float(re.search(r"suggested: ([\d.e-]+), a tenth", text)[1])
    assert keys["adamw_lr"] == pytest.approx(keys["lr"] / 10)


def test_an_optimizer_without_a_rate_is_told_so(tmp_path):
    for folder in ("mine/optimizer", "conf/optimizer"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mine" / "optimizer" / "still.py").write_text("def still(*, params):\n    return None\n")
    (tmp_path / "conf" / "optimizer" / "still.yaml").write_text("name: still\n")
    with pytest.raises(ConfigError, match="optimizer=still has no setting lr"):
        find_lr.main([*QUICK, "components=[mine]", "optimizer=still"])


def test_the_curve_is_written_only_where_it_is_asked_for(found, tmp_path):
    assert "curve: plots/lr.png" in found("output=plots/lr.png")
    assert (tmp_path / "plots" / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]
    with pytest.raises(ConfigError, match=r"plots/lr\.png: file already exists"):
        find_lr.main([*QUICK, "output=plots/lr.png"])


@pytest.mark.parametrize(
    "words",
    [
        ("dataset=diabetes",), ("model=autoencoder",), ("model=linear", "optimizer=sgd"), ("loop.batch_size=full",),
        (
            "dataset=digits",
            "model=cnn",
            "model.dropout=0.0",
            "model.hidden_dropout=0.0",
            "augment=[crop]",
            "loop.micro_batches=2",
            "min_lr=1e-4",
            "steps=100",
        ),
    ],
    ids=" ".join,
)  # fmt: skip
def test_it_composes_with_what_training_takes(found, words):
    assert "suggested: " in found(*words)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("min_lr=0", r"min_lr=0: expected a number in \(0, inf\)"),
        ("max_lr=x", "max_lr=x: expected a number"),
        ("max_lr=inf", "max_lr=inf: expected a number"),
        ("min_lr=20", "min_lr=20 must be below max_lr=10"),
        ("steps=9", r"steps=9: expected a whole number in \[10, inf\)"),
        ("optimizer.lrr=1", r"did you mean optimizer\.lr=1"),
        ("lr", "lr: unexpected argument"),
        ("seed=1,2", "several values make a sweep"),
    ],
)
def test_wrong_words_are_answered_before_anything_is_built(word, message):
    with pytest.raises(ConfigError, match=message):
        find_lr.main([*QUICK, word])


def test_a_loss_that_does_not_fall_is_said_so(capsys):
    with pytest.raises(ConfigError, match="the loss did not fall between 1e-12 and 1e-11"):
        find_lr.main(
            [*QUICK, "optimizer=sgd", "loop.batch_size=full", "model.dropout=0", "min_lr=1e-12", "max_lr=1e-11"]
        )
    shown = capsys.readouterr().out
    assert "smoothed loss" in shown
    assert "suggested" not in shown


def test_the_verb_has_a_dash_and_its_module_an_underscore(monkeypatch, capsys):
    assert cli.dispatch(["find-lr", *QUICK]) == 0
    assert "Use: trainctl optimizer.lr=" in capsys.readouterr().out
    assert cli.dispatch(["find-lr", "--help"]) == 0
    assert "trainctl find-lr recipe=mnist_cnn" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="did you mean find-lr"):
        cli.dispatch(["find_lr"])
