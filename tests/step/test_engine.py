"""Recorded steps give the bits of eager ones, are compared with them, and are given up where they cannot be trusted."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.step.runs import both, make, replaced, tensors, train
from tests.zygote import EAGER
from trainctl.errors import NonFiniteError
from trainctl.run.run import Run
from trainctl.step import engine as engines
from trainctl.step.eager import eager
from trainctl.step.engine import Engine, Outcome, agree
from trainctl.step.record import Unsupported
from trainctl.train.evaluation import evaluate, renew_statistics


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        "model=linear", "model=mlp", "model=cnn", "model=resnet model.depth=8", "model=rnn", "model=rnn model.cell=gru",
        "model=rnn model.cell=rnn model.bidirectional=true model.layers=2 model.dropout=0.3", "model=autoencoder",
        "model=autoencoder model.channels=[4]", "model=mlp model.norm=batch average=ema", "model=cnn model.norm=batch",
        "optimizer=sgd", "optimizer=sgd optimizer.momentum=0", "optimizer=sgd optimizer.nesterov=true",
        "optimizer=adamw optimizer.amsgrad=true", "optimizer=muon", "optimizer=nadam", "schedule=one_cycle",
        "loop.clip_norm=0.1 loop.micro_batches=3", "regularizer=[l1,l2,orthogonal,max_norm]", "precision=bf16",
        "augment=[noise,translate]", "model=autoencoder augment=[noise]", "loss=focal", "loss=hinge",
        "compress=[int8] compress.int8.begin=0.5 loop.epochs=3",
        "optimizer=sgd schedule=one_cycle", "decay_norm_and_bias=true optimizer.weight_decay=0.1", "loop.batch_size=full",
    ],
)  # fmt: skip
def test_recorded_steps_give_the_same_bits(overrides: str) -> None:
    same, engine, notes = both(*overrides.split())
    assert same
    assert (str(engine), notes) == ("recorded", [])


def test_steps_are_really_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    calls = []
    forward = run.model.forward
    monkeypatch.setattr(run.model, "forward", lambda inputs: calls.append(len(inputs)) or forward(inputs))
    train(run, Engine(run, print).take, 20)
    # 1,257 rows: three batches of 400 and one of 57 an epoch; each size is computed once, and once more for comparison
    assert sorted(calls) == [57, 57, 400, 400]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [("augment=mixup", "rows are mixed"), ("model=rnn dataset=text", "_pack_padded_sequence")],
)
def test_what_cannot_be_recorded_is_computed_and_said(overrides: str, reason: str, tmp_path: Any) -> None:
    words = overrides.split()
    if "dataset=text" in words:
        rows = [f"{'ab' * (row % 7 + 1)},{'xy'[row % 2]}" for row in range(60)]
        (tmp_path / "a.csv").write_text("\n".join(["words,kind", *rows, ""]))
        words += [
            f"dataset.path={tmp_path / 'a.csv'}",
            "dataset.text=words",
            "dataset.target=kind",
            "loop.batch_size=9",
        ]
    same, engine, notes = both(*words)
    assert same
    assert str(engine).startswith("eager: ")
    assert reason in str(engine)
    assert engine.decided
    assert not notes  # nothing went wrong


def test_how_steps_are_taken_is_known_after_the_first_ones() -> None:
    run = make("loop.batch_size=full")
    engine = Engine(run, print)
    seen = []
    for _ in range(3):
        seen.append((engine.decided, str(engine)))
        train(run, engine.take, 1)
    assert seen[:2] == [(False, "eager: no recorded step has been checked yet")] * 2
    assert seen[2] == (True, "recorded")


def late(change: Callable[[Tensor, torch.Generator, Any], Any], calls: int) -> Callable[[Run], Run]:
    """Return what gives a run an augmentation that leaves the first batches alone."""

    def with_change(run: Run) -> Run:
        augment, left = run.augment[0], [calls]

        def changed(inputs: Tensor, generator: torch.Generator) -> Any:
            left[0] -= 1
            return inputs if left[0] >= 0 else change(inputs, generator, augment)

        return replaced(run, augment=(changed,))

    return with_change


def test_rows_that_are_mixed_only_sometimes_are_not_replayed() -> None:
    mixing = late(lambda inputs, generator, mixup: mixup(inputs, generator), 4)
    same, engine, _ = both("augment=mixup", "loop.batch_size=full", steps=7, change=mixing)
    assert same
    assert str(engine) == "eager: rows are mixed"


def test_an_augmentation_may_leave_batches_alone_now_and_then() -> None:
    shifting = late(lambda inputs, generator, noise: inputs + 1, 3)
    same, engine, notes = both("model=autoencoder", "augment=[noise]", "loop.batch_size=full", steps=8, change=shifting)
    assert same
    assert (str(engine), notes) == ("recorded", [])


class Halving(nn.Module):
    """Does something else from some call on, which no recording can know."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.body, self.factor, self.left = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 1.0, first

    def forward(self, inputs: Tensor) -> Tensor:
        self.left -= 1
        self.factor /= 2 if self.left < 0 else 1
        outputs: Tensor = self.body(inputs) * self.factor
        return outputs


def halving(first: int) -> Run:
    model = Halving(first)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    optimizer.param_groups[0]["initial_lr"] = 0.1
    return replaced(make("model=linear", "loop.batch_size=full"), model=model, optimizer=optimizer)


def test_a_replay_that_differs_is_found_out_and_given_up() -> None:
    run, notes = halving(0), []
    engine = Engine(run, notes.append)
    train(run, engine.take, 4)
    assert notes == [
        "step 2: the recorded step gave different results than the eager step, so steps are computed eagerly from now on"
    ]
    assert str(engine) == "eager: the recorded step gave different results than the eager step"
    assert run.model.factor == 2**-4


def test_a_recording_is_compared_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "CHECK_EVERY", 5)
    run, notes = halving(2), []  # recorded, compared; what it does at its third call comes at the next comparison
    engine = Engine(run, notes.append)
    for step in range(1, 10):
        train(run, engine.take, 1)
        assert engine.recorded == (2 <= step < 7), step
    (note,) = notes
    assert note.startswith("step 7: the recorded step gave different results")
    assert note.endswith("from now on; steps since step 2 may be affected")


def test_comparing_again_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "CHECK_EVERY", 3)
    same, engine, notes = both("model=mlp", "model.norm=batch", "augment=[noise]", "loop.micro_batches=2", steps=30)
    assert same
    assert (str(engine), notes) == ("recorded", [])


@pytest.mark.skipif(EAGER, reason="asks for the default")
@pytest.mark.parametrize(
    ("mode", "schedule", "expected"),
    [
        ("auto", "none", "recorded"),
        ("auto", "mine", "eager: components of your own are recorded only with loop.record=always"),
        ("always", "mine", "recorded"),
        ("never", "none", "eager: loop.record=never"),
    ],
)
def test_components_of_ones_own_are_recorded_only_when_asked(
    tmp_path: Path, mode: str, schedule: str, expected: str
) -> None:
    for file, text in (
        ("own_rates/schedule/mine.py", "def mine():\n    return lambda step: 1.0\n"),
        ("conf/schedule/mine.yaml", "name: mine\n"),
    ):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    run = make(f"loop.record={mode}", "components=[own_rates]", f"schedule={schedule}", "loop.batch_size=full")
    engine = Engine(run, print)
    train(run, engine.take, 3)
    assert str(engine) == expected


def test_a_device_that_nobody_records_on_is_named() -> None:
    run = make()
    assert engines.accelerator(replaced(run, device=torch.device("mps"))) == (
        None,
        "steps are not recorded on device=mps",
    )


def test_a_loss_that_is_not_finite_is_seen_before_weights_change() -> None:
    run = make("loop.batch_size=full")
    take_step = Engine(run, print).take
    rows = run.data.splits["train"]
    for _ in range(3):
        take_step(rows.inputs, rows.targets)
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    run.data.input_scale.factor.fill_(math.nan)
    with pytest.raises(NonFiniteError, match="the loss is nan"):
        take_step(rows.inputs, rows.targets)
    assert all(map(torch.equal, before, run.model.parameters()))


def with_scaler(run: Run) -> Run:
    return replaced(run, scaler=torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4))


@pytest.mark.parametrize("overflowing", [None, 1, 2])  # 1: the step whose replay is compared, or was to be
def test_the_scale_of_fp16_goes_on_changing(overflowing: int | None) -> None:
    def run_all(run: Run, how: Any) -> list[Tensor]:
        for number in range(12):
            if overflowing is not None and 0 <= number - overflowing < 2:
                run.scaler.update(math.inf if number == overflowing else 1024.0)
            train(run, how, 1)
        return [*tensors(run), torch.tensor(run.scaler.get_scale())]

    words, notes = ("loop.batch_size=full", "optimizer=sgd", "optimizer.lr=0.1"), []
    run = with_scaler(make(*words))
    run.scaler.scale(torch.ones(()))
    expected = run_all(run, eager(run))
    run = with_scaler(make(*words))
    engine = Engine(run, notes.append)
    found = run_all(run, engine.take)
    assert all(map(torch.equal, expected, found))
    assert not notes
    assert engine.recorded
    assert 1024 < found[-1] < math.inf


@pytest.mark.parametrize(
    "words", ["average=swa average.start_fraction=0 model.norm=batch", "average=ema optimizer=sgd"]
)
def test_recorded_steps_outlast_what_comes_between_them(words: str) -> None:
    def run_all(run: Run, how: Any) -> list[Tensor]:
        for _ in range(4):
            train(run, how, 5)
            renew_statistics(run)
            evaluate(run.evaluation, "val")
            train(run, how, 2)
            kept = copy.deepcopy([run.model.state_dict(), run.optimizer.state_dict()])
            train(run, how, 3)
            run.model.load_state_dict(kept[0])
            run.optimizer.load_state_dict(kept[1])
        return tensors(run)

    run, notes = make(*words.split()), []
    expected = run_all(run, eager(run))
    run = make(*words.split())
    engine = Engine(run, notes.append)
    found = run_all(run, engine.take)
    assert all(map(torch.equal, expected, found))
    assert not notes
    assert len(engine.trusted) == 2
    assert run.state.averaged


def test_a_program_that_cannot_be_built_costs_speed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(recording: Any) -> Any:
        raise Unsupported("it is of no use")

    monkeypatch.setattr(engines.replay, "build", fail)
    same, engine, notes = both(steps=8)
    assert same
    assert (str(engine), notes) == ("eager: it is of no use", [])


@pytest.mark.parametrize("error", [ValueError("of no use\nto anybody"), MemoryError()])
def test_a_program_that_fails_is_given_up_and_the_step_computed(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*given: Any) -> Any:
        raise error

    monkeypatch.setattr(engines.replay, "build", lambda recording: fail)
    same, engine, notes = both(steps=8)
    assert same
    what = "of no use" if isinstance(error, ValueError) else "out of memory"
    assert str(engine) == f"eager: the recorded step failed ({what})"
    assert len(notes) == 1


def test_an_error_of_the_step_itself_is_raised_at_once() -> None:
    run = make("loop.batch_size=full")
    take_step = Engine(run, print).take
    rows = run.data.splits["train"]
    for wrong in range(3):  # where the step is recorded, where it is compared, and where it is replayed
        targets = rows.targets.clone()
        targets[0] = 99
        with pytest.raises(IndexError, match="Target 99 is out of bounds"):
            take_step(rows.inputs, targets)
        assert run.state.step == wrong
        train(run, take_step, 1)


# Numbers that may differ in their last bits, as on a GPU.


def outcomes(program: Any, again: Any, eager_run: Any, rounding: float = 1e-5) -> bool:
    random = {"cpu": torch.zeros(1)}
    return agree([Outcome([program], random), Outcome([again], random)], Outcome([eager_run], random), rounding)


def test_numbers_may_differ_as_much_as_those_of_two_eager_runs() -> None:
    one, zeros = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(2, 2)
    assert outcomes(one, one, one)
    assert outcomes(one * (1 + 1e-6), one, one)  # rounding
    assert not outcomes(one * 1.001, one, one)
    assert outcomes(one * 1.001, one * 1.0005, one)
    assert not outcomes(one * 1.01, one * 1.0005, one)
    assert outcomes(zeros, zeros, zeros)
    assert outcomes(None, None, None)
    for other in (one.t(), one[:1], one * math.nan, zeros, None):
        assert not outcomes(other, one, one)


def test_random_states_have_to_be_the_same() -> None:
    first, second = ({"cpu": torch.tensor([number])} for number in (1, 2))
    value = torch.ones(2)
    assert agree([Outcome([value], first)], Outcome([value], first), 0.0)
    assert not agree([Outcome([value], second)], Outcome([value], first), 0.0)
    assert not agree([Outcome([value + 1e-6], first)], Outcome([value], first), 0.0)
