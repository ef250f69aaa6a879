"""A run that is stopped and resumed ends bit for bit like one that was not."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import HARD
from trainctl.errors import Interrupted
from trainctl.run import assemble
from trainctl.run.run import Run
from trainctl.settings import component, compose, config
from trainctl.store import restore, rundir
from trainctl.train import session

OPTIMIZERS = component.names("optimizer")


def settings(*overrides: str) -> config.Config:
    return compose.compose([*HARD, *overrides])


def stop(directory: Path, step: int, *overrides: str) -> None:
    with pytest.raises(Interrupted):
        session.begin(settings(*overrides, f"loop.stop_at_step={step}"), [], directory)


def go_on(directory: Path, *overrides: str) -> dict[str, Any]:
    return session.resume(settings(*overrides), [], directory)


def end(directory: Path, *overrides: str) -> Run:
    """Return the run as its newest checkpoint has it."""
    run = assemble.assemble(settings(*overrides))
    restore.restore(run, restore.newest(directory))
    return run


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what the clock says."""
    return [{key: value for key, value in row.items() if key not in ("seconds", "samples_per_second")} for row in rows]


def assert_same(one: Path, other: Path, *overrides: str) -> None:
    first, second = end(one, *overrides), end(other, *overrides)
    tensors = [restore.newest(path).tensors("last") for path in (one, other)]
    assert tensors[0].keys() == tensors[1].keys()
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]), name
    for number in ("step", "best", "stopping", "reaction"):
        assert getattr(first.state, number) == getattr(second.state, number)
    assert all(torch.equal(value, second.state.best_weights[name]) for name, value in first.state.best_weights.items())
    assert timeless(rundir.read_metrics(one)) == timeless(rundir.read_metrics(other))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that trains without a stop, once for all cuts."""

    @cache
    def train(chosen: str) -> Path:
        directory = tmp_path_factory.mktemp("uninterrupted") / "whole"
        session.begin(settings(chosen), [], directory)
        return directory

    return train


# 1,258 rows in batches of 400: 4 steps an epoch, 12 in all.
@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam"])  # others below, and every step in test_exact
@pytest.mark.parametrize("cut", [1, 4, 6, 11], ids=["first-step", "epoch-end", "mid-epoch", "last-but-one"])
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    tmp_path: Path, whole: Callable[[str], Path], cut: int, optimizer: str
) -> None:
    chosen = f"optimizer={optimizer}"

    stop(tmp_path / "cut", cut, chosen)
    assert end(tmp_path / "cut", chosen).state.step == cut
    go_on(tmp_path / "cut", chosen)

    assert_same(tmp_path / "cut", whole(chosen), chosen)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_resumes_exactly_from_the_middle_of_an_epoch(tmp_path: Path, optimizer: str) -> None:
    chosen = (f"optimizer={optimizer}", "loop.epochs=2")
    session.begin(settings(*chosen), [], tmp_path / "whole")

    stop(tmp_path / "cut", 6, *chosen)
    go_on(tmp_path / "cut", *chosen)

    assert_same(tmp_path / "cut", tmp_path / "whole", *chosen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("model=rnn", "model.channels=null"),
        ("precision=bf16",),
        ("loop.batch_size=full", "loop.epochs=12"),
        ("loop.eval_every_steps=3",),
        ("augment=[rotate,translate,color,erase,noise,mixup,cutmix]",),
        ("augment=[flip,crop]", "augment.flip.alternating=true", "init=whiten", "average=ema"),
    ],
    ids=["dropout-in-lstm", "bf16", "full-batch", "evaluation-inside-epochs", "every-augmentation", "rows-known"],
)
def test_resuming_is_exact_in_every_mode(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    hard = [word for word in HARD if not (overrides[0] == "model=rnn" and word.startswith("model"))]
    chosen = [word for word in overrides if "null" not in word]
    chosen += ["model.dropout=0.3"] if "model=rnn" in chosen else []

    def load(*more: str) -> config.Config:
        return compose.compose([*hard, *chosen, *more])

    session.begin(load(), [], tmp_path / "whole")
    with pytest.raises(Interrupted):
        session.begin(load("loop.stop_at_step=5"), [], tmp_path / "cut")
    session.resume(load(), [], tmp_path / "cut")

    whole, cut = (restore.newest(tmp_path / name).tensors("last") for name in ("whole", "cut"))
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())
    assert timeless(rundir.read_metrics(tmp_path / "whole")) == timeless(rundir.read_metrics(tmp_path / "cut"))


def test_three_stops_in_a_row_two_of_them_in_one_epoch_change_nothing(tmp_path: Path) -> None:
    session.begin(settings(), [], tmp_path / "whole")

    stop(tmp_path / "cut", 5)
    for step in (6, 8):
        with pytest.raises(Interrupted):
            session.resume(settings(f"loop.stop_at_step={step}"), [], tmp_path / "cut")
    go_on(tmp_path / "cut")

    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_the_patience_counter_survives_a_stop(tmp_path: Path) -> None:
    # A rate far too small to improve by min_delta: early stopping ends the run after 1 + 2 evaluations.
    patient = ("early_stopping.patience=2", "early_stopping.min_delta=10.0", "optimizer.lr=1e-6", "loop.epochs=9")
    whole = session.begin(settings(*patient), [], tmp_path / "whole")
    assert whole["steps"] == 12

    stop(tmp_path / "cut", 9, *patient)
    assert go_on(tmp_path / "cut", *patient)["steps"] == 12


def test_the_numbers_of_a_plateau_survive_a_stop(tmp_path: Path) -> None:
    # No change counts as an improvement: the third, the fifth, ... evaluation reduces the rate.
    chosen = (
        "schedule=plateau", "schedule.patience=1", "schedule.threshold=99", "schedule.factor=0.5", "loop.epochs=6",
        "early_stopping=none",
    )  # fmt: skip
    session.begin(settings(*chosen), [], tmp_path / "whole")
    stop(tmp_path / "cut", 14, *chosen)
    assert end(tmp_path / "cut", *chosen).state.reaction.factor == 0.5
    go_on(tmp_path / "cut", *chosen)

    assert_same(tmp_path / "cut", tmp_path / "whole", *chosen)
    assert end(tmp_path / "cut", *chosen).state.reaction.factor == 0.25


# Those that hold state, turn back, or move the momentum; all are functions of the step, see tests/schedule.
@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["plateau", "one_cycle", "cyclic", "cosine_restarts"])
def test_a_schedule_resumes_exactly(tmp_path: Path, schedule: str) -> None:
    chosen = (f"schedule={schedule}", "loop.epochs=2", "optimizer=sgd")
    session.begin(settings(*chosen), [], tmp_path / "whole")
    stop(tmp_path / "cut", 5, *chosen)
    go_on(tmp_path / "cut", *chosen)

    assert_same(tmp_path / "cut", tmp_path / "whole", *chosen)


def test_a_finished_run_goes_on_with_more_epochs(tmp_path: Path) -> None:
    # Without a schedule that looks at the run's length, more epochs later equal more epochs at once.
    fixed = "schedule=none"
    session.begin(settings(fixed, "loop.epochs=4"), [], tmp_path / "whole")

    session.begin(settings(fixed, "loop.epochs=2"), [], tmp_path / "cut")
    summary = session.resume(settings(fixed, "loop.epochs=4"), ["loop.epochs=4"], tmp_path / "cut")

    assert (summary["outcome"], summary["epochs"]) == ("finished", 4)
    assert_same(tmp_path / "cut", tmp_path / "whole", fixed, "loop.epochs=4")


def test_a_finished_run_without_a_larger_budget_is_left_alone(tmp_path: Path) -> None:
    session.begin(settings(), [], tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()

    assert go_on(tmp_path / "run")["resumed"] is False
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_run_that_was_stopped_while_it_was_tested_is_tested_when_resumed(tmp_path: Path) -> None:
    whole = session.begin(settings(), [], tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()  # all steps are done and saved; the conclusion is missing

    resumed = go_on(tmp_path / "run")

    assert resumed["resumed"]
    assert resumed["metrics"] == whole["metrics"]


def test_a_run_killed_between_two_checkpoints_replays_from_the_older_one(tmp_path: Path) -> None:
    session.begin(settings("checkpoint.every_seconds=0"), [], tmp_path / "whole")

    # What kill -9 leaves: lines of metrics that are newer than the newest checkpoint, the last one torn.
    stop(tmp_path / "cut", 6)
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 8, "val/loss": 99.0}) + '\n{"step": 12, "val/lo')
    go_on(tmp_path / "cut")

    assert_same(tmp_path / "cut", tmp_path / "whole")
