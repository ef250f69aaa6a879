"""A point that is derived from another one is the point that is composed and checked in full."""

import csv
import time
from pathlib import Path

import pytest

from trainctl.errors import ConfigError
from trainctl.settings.points import Composer, distinct_points, read_sweep
from trainctl.settings.space import Words
from trainctl.settings.template import identity_of
from trainctl.sweep.first_points import check_extremes, first_points

SPACES = (
    ("optimizer.lr=0.1,1e-3,1,5e-05", "loop.batch_size=8,full,32", "seed=0,1"),
    ("optimizer=adam,sgd", "optimizer.momentum=0.0,0.9", "optimizer.lr=0.1,0.2"),
    ("model=mlp,cnn", "model.hidden=[8],[8,8],[]", "model.dropout=0,0.5"),
    ("augment=[crop,flip],[flip],[]", "augment.flip.probability=0.25,0.5", "+loop.epochs=1,2"),
    ("early_stopping=patience,none", "monitor=val/loss,val/accuracy"),
    ("early_stopping=patience", "early_stopping.patience=1,2,3", "schedule=plateau,cosine"),
    ("loop.max_steps=null,10,20",),
    ("loop.max_steps=null,10,20", "loop.epochs=1,2"),
    ("loop.max_time=10s,1m", "precision=fp32,bf16", "device=cpu,auto"),
    ("dataset=iris,synthetic", "dataset.rows=100,200"),
    ("optimizer.lr=interval(0.001,1)", "loop.batch_size=int(interval(2,90))", "sweep=random", "sweep.trials=40"),
    ("optimizer.weight_decay=tag(log,interval(1e-9,1e3))", "sweep=random", "sweep.trials=40"),
    ("p=zip(optimizer=[adam,sgd],optimizer.lr=[1e-3,1e-1])", "split.val_fraction=0.1,0.2"),
    ("recipe=mnist_mlp_128,null", "optimizer.lr=0.1,0.2", "dataset=digits"),
    ("threads=1,2,null", "decay_norm_and_bias=true,false", "loop.clip_norm=null,1,1.5"),
    ("output.root=a,b", "optimizer.lr=0.1,0.2"),
)  # fmt: skip


def in_full(composer: Composer, words: Words) -> tuple[object, str, Words]:
    first = composer.space.replicates[0]
    config, unused = composer._in_full((*composer.space.fixed, *words, *first))
    return config, identity_of(config), tuple(word for word in words if word.lstrip("+").split("=")[0] not in unused)


def count_full(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """Return a list that grows with each point that the composer composes in full."""
    before, calls = Composer._in_full, list[Words]()

    def counted(self: Composer, words: Words):
        calls.append(words)
        return before(self, words)

    monkeypatch.setattr(Composer, "_in_full", counted)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("words", SPACES, ids=" ".join)
def test_every_point_is_the_one_that_is_composed_in_full(words: Words) -> None:
    settings, composer = read_sweep(words)
    _, other = read_sweep(words)
    candidates = list(first_points(composer.space, settings))
    assert len(candidates) > 1
    for point in candidates:
        composed = composer.compose(point, composer.space.replicates[0])
        config, identity, applying = in_full(other, point)
        assert composed.config == config
        assert list(composed.config.tree.items()) == list(config.tree.items())  # and in the same order
        assert (composed.identity, composed.words) == (identity, applying)
    assert composer.used == other.used


@pytest.mark.parametrize(
    ("words", "most"),
    [
        (("optimizer.lr=range(1,60)", "loop.batch_size=8,16,32"), 1),
        (("optimizer=adam,sgd", "optimizer.lr=range(1,60)", "optimizer.momentum=0.1,0.2"), 2),
        (("optimizer.lr=interval(0.001,1)", "model.dropout=interval(0,0.5)", "sweep=random", "sweep.trials=99"), 1),
        (("early_stopping=patience", "early_stopping.patience=range(1,60)"), 1),
    ],
)
def test_only_one_point_of_each_kind_is_composed_in_full(
    words: Words, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, composer = read_sweep(words)
    calls = count_full(composer, monkeypatch)
    points = distinct_points(composer, first_points(composer.space, settings))
    assert len(points) > 50
    assert len(calls) == most


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("optimizer.lr=0.1,0.2,-1",), "optimizer.lr=-1: expected a number in"),
        (("optimizer.lr=0.1,0.2,fast",), "optimizer.lr=fast: expected a number in"),
        (("split.val_fraction=0.1,0.6", "split.test_fraction=0.1,0.5"), "leave nothing to train on"),
        (("loop.batch_size=4,8", "loop.micro_batches=1,6"), "loop.micro_batches=6 exceeds loop.batch_size=4"),
        (("optimizer=adam,sgd", "optimizer.momentum=0.9,0.5,2"), "optimizer.momentum=2: expected a number in"),
        (("model.hidden=[8],[8,0]",), "model.hidden=[8,0]: expected a list"),
        (("optimizer.lr=0.1,0.2", "optimizer.rate=1,2"), "no such"),
    ],
)
def test_what_is_wrong_with_a_later_point_is_reported_as_with_the_first(words: Words, message: str) -> None:
    _, composer = read_sweep(words)
    with pytest.raises(ConfigError) as caught:
        distinct_points(composer, composer.space.grid())
    assert message in str(caught.value)
    lines = set[str]()
    for point in composer.space.grid():  # the same lines as if each were composed by itself
        try:
            in_full(composer, point)
        except ConfigError as error:
            lines |= set(str(error).split("\n"))
    assert set(str(caught.value).split("\n")) == lines


def test_points_that_become_equal_are_one_however_they_were_composed(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    rows = [
        ("optimizer", "optimizer.lr", "optimizer.weight_decay"),
        ("adam", "0.001", ""),
        ("", "0.001", "0.0"),
        ("adam", "", ""),
        ("", "", "0.0"),
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    _, composer = read_sweep([f"sweep.points={path}"])
    assert len(distinct_points(composer, composer.space.grid())) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model.dropout=interval(0,2)", "sweep=tpe"],
         "model.dropout=interval(0,2): contains 1.9998; expected a number in [0, 1)"),
        (["loop.batch_size=interval(8,64)", "sweep=random"], "whole numbers: loop.batch_size=int(interval(8,64))"),
        (["optimizer=adam,sgd", "optimizer.momentum=tag(log,interval(0.1,3))", "sweep=tpe"], "contains 2.99"),
        (["optimizer.lr=interval(0,1)", "optimizer=adam,sgdd", "sweep=tpe"], "did you mean sgd?"),
        (["optimizer.lr=interval(0,1)", "loop.batch_size=int(interval(0,8))", "sweep=tpe"], "contains 0; expected"),
    ],
    ids=["upper end", "whole numbers", "of one member", "an option", "lower end"],
)  # fmt: skip
def test_no_point_that_is_drawn_later_can_be_invalid(words: list[str], line: str) -> None:
    settings, composer = read_sweep([*words, "sweep.trials=3"])
    with pytest.raises(ConfigError) as caught:
        check_extremes(composer, settings)
    assert line in str(caught.value)


def test_the_ends_of_an_interval_may_be_excluded_and_many_options_take_no_time() -> None:
    words = ["optimizer.lr=interval(0,1)", "loop.batch_size=range(1,20)", "loop.epochs=range(1,20)"]
    settings, composer = read_sweep([*words, "sweep=tpe", "sweep.trials=3"])
    check_extremes(composer, settings)
    assert len(list(composer.space.extremes())) == 2 * 19


@pytest.mark.parametrize("axis", ["p=zip(seed=[1,2],optimizer.lr=[1,2])", "split.seed=int(interval(0,9))"])
def test_a_seed_is_no_part_of_a_point(axis: str) -> None:
    with pytest.raises(ConfigError, match=r"repeats points, and is part of none"):
        read_sweep([axis, "sweep=random", "sweep.trials=3"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["optimizer.lr=range(1,11)", "loop.batch_size=range(1,11)", "model.dropout=choice(0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9)",
         "loop.epochs=range(1,11)"],
        ["optimizer.lr=interval(0.001,1)", "model.dropout=interval(0,0.9)", "sweep=random", "sweep.trials=10000"],
    ],
    ids=["grid", "random"],
)  # fmt: skip
def test_ten_thousand_points_are_checked_within_seconds(words: list[str]) -> None:
    began = time.process_time()
    settings, composer = read_sweep(words)
    points = distinct_points(composer, first_points(composer.space, settings))
    assert len(points) == 10_000
    assert time.process_time() - began < 4  # 1 s on an idle machine; one by one it is 20 s
