"""The loop: what a step computes, when it looks, and what ends it."""

import copy
import itertools
import json
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainctl.components.augment.base import Mixing, Visit
from trainctl.data import order
from trainctl.errors import ConfigError, Interrupted, NonFiniteError, Terminated
from trainctl.machine import device
from trainctl.run import assemble, rate
from trainctl.run.reporter import MultiReporter, Reporter, Row
from trainctl.run.run import Run
from trainctl.settings import compose
from trainctl.step import eager as step
from trainctl.store import restore, rundir
from trainctl.train import budget, evaluation, loop, session
from trainctl.train.budget import Ending

# No dropout and no norm over the batch: a batch's gradient is the mean of its rows'.
PLAIN = (
    "dataset=iris",
    "model.hidden=[8]",
    "model.norm=none",
    "model.dropout=0.0",
    "loop.batch_size=50",
    "loop.epochs=2",
    "output.plots=false",
)


def make(*overrides: str) -> Run:
    return assemble.assemble(compose.compose([*PLAIN, *overrides]))


def weights(run: Run) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def one_step(run: Run) -> None:
    rows = run.data.splits["train"]
    loop.set_learning_rate(run)
    step.eager(run)(rows.inputs[:50], rows.targets[:50])


def train(directory: Path, *overrides: str) -> tuple[Run, str]:
    run = make(*overrides)
    directory.mkdir()
    return run, loop.train(run, directory, MultiReporter()).reason


def augmented(run: Run) -> tuple[torch.Tensor, Any]:
    """Return the first batch as the run's only augmentation changes it in the first step."""
    generator = torch.Generator().manual_seed(device.derive(run.config.seed, 0))
    changed: tuple[torch.Tensor, Any] = run.augment[0](run.data.splits["train"].inputs[:50], generator)
    return changed


@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy loss.label_smoothing=0.1"])
def test_mixed_classes_are_learnt_as_soft_targets(loss: str) -> None:
    run = make("augment=mixup", "augment.mixup.alpha=1.0", *f"loss={loss}".split())
    inputs, mixing = augmented(run)
    soft = torch.nn.functional.one_hot(run.data.splits["train"].targets[:50], 3).float()
    soft = mixing.weight * soft + (1 - mixing.weight) * soft[mixing.partner]
    outputs = copy.deepcopy(run.model)(run.data.input_scale(inputs))
    smoothing = run.config.parts["loss"]["label_smoothing"]
    wanted = torch.nn.functional.cross_entropy(outputs, soft, label_smoothing=smoothing)

    one_step(run)

    assert run.sums.values()["loss"] == pytest.approx(wanted.item(), rel=1e-5)
    correct = (outputs.argmax(1) == soft.argmax(1)).double().mean().item()
    assert run.sums.values()["accuracy"] == pytest.approx(correct)


def test_mixed_numbers_are_learnt_as_their_mixture() -> None:
    run = make("dataset=diabetes", "augment=mixup", "loss=mae")
    inputs, mixing = augmented(run)
    targets = run.data.splits["train"].targets[:50]
    targets = mixing.weight * targets + (1 - mixing.weight) * targets[mixing.partner]
    wanted = (copy.deepcopy(run.model)(run.data.input_scale(inputs)) - targets).abs().mean()

    one_step(run)

    assert run.sums.values()["loss"] == pytest.approx(wanted.item(), rel=1e-5)


def test_two_mixings_in_a_row_mix_the_losses_of_four_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(5, 3, generator=generator), torch.tensor([0, 1, 2, 0, 1])
    mixings = [Mixing(torch.tensor(share), torch.randperm(5, generator=generator)) for share in (0.8, 0.3)]
    soft = torch.nn.functional.one_hot(targets, 3).float()
    for mixing in mixings:
        soft = mixing.weight * soft + (1 - mixing.weight) * soft[mixing.partner]

    loss, counted = step.compare(make(), outputs, targets, mixings)

    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(outputs, soft))
    assert torch.equal(counted, targets[mixings[1].partner])  # 0.8 * 0.7 is the largest share


def test_a_denoising_autoencoder_is_shown_noise_and_returns_the_clean_rows() -> None:
    run = make("dataset=wine", "model=autoencoder", "augment=noise", "augment.noise.std=2.0")
    rows = run.data.splits["train"].inputs[:50]
    generator = torch.Generator().manual_seed(device.derive(run.config.seed, 0))
    noisy = run.data.input_scale(run.augment[0](rows, generator))
    clean = run.data.input_scale(rows)
    assert (noisy - clean).std().item() == pytest.approx(2.0, rel=0.1)
    wanted = (copy.deepcopy(run.model)(noisy) - clean).square().mean().item()

    one_step(run)

    assert run.sums.values()["loss"] == pytest.approx(wanted, rel=1e-5)


def test_regularizers_add_up_penalties_in_the_step_and_projections_after_it() -> None:
    chosen = ("regularizer=[l1,weight_clip,l2,max_norm]", "regularizer.weight_clip.limit=0.3", "optimizer.lr=1.0")
    run = make(*chosen, "regularizer.max_norm.limit=0.5")
    assert [bool(part.penalty) for part in run.regularizers] == [True, False, True, False]
    one_step(run)
    matrices = [weight.detach() for weight in run.model.parameters() if weight.ndim > 1]
    assert all(weight.abs().max() <= 0.3 for weight in matrices)
    assert all(weight.norm(dim=1).max() <= 0.5 * (1 + 1e-5) for weight in matrices)


def test_a_step_equals_one_written_by_hand() -> None:
    run = make(
        "optimizer=sgd", "optimizer.lr=0.5", "optimizer.momentum=0.0", "regularizer=[l2]", "regularizer.l2.weight=0.01"
    )
    model, rows = copy.deepcopy(run.model), run.data.splits["train"]
    inputs = run.data.input_scale(rows.inputs[:50])
    loss = torch.nn.functional.cross_entropy(model(inputs), rows.targets[:50])
    loss = loss + 0.01 * sum(weight.square().sum() for weight in model.parameters() if weight.ndim > 1)
    loss.backward()
    wanted = torch.cat([(weight - 0.5 * weight.grad).detach().flatten() for weight in model.parameters()])

    one_step(run)

    torch.testing.assert_close(weights(run), wanted)


def test_a_batch_in_parts_gives_the_same_step(tmp_path: Path) -> None:
    whole, parts = (
        make("regularizer=[l1]", "optimizer=sgd"),
        make("regularizer=[l1]", "optimizer=sgd", "loop.micro_batches=7"),
    )
    before = weights(whole)
    assert torch.equal(before, weights(parts))

    one_step(whole)
    one_step(parts)

    assert not torch.equal(before, weights(whole))
    torch.testing.assert_close(weights(whole), weights(parts), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(whole.sums.sums, parts.sums.sums)


@pytest.mark.parametrize(("knob", "norm"), [("loop.clip_norm=0.01", 2.0), ("loop.clip_value=0.001", float("inf"))])
def test_clipping_bounds_the_update(knob: str, norm: float) -> None:
    sgd = ("optimizer=sgd", "optimizer.momentum=0.0", "optimizer.lr=1.0")
    free, clipped = make(*sgd), make(*sgd, knob)
    start = weights(free)
    one_step(free)
    one_step(clipped)

    bound = float(knob.partition("=")[2])
    assert float((weights(free) - start).norm(norm)) > 2 * bound
    assert float((weights(clipped) - start).norm(norm)) == pytest.approx(bound, rel=1e-3)


def test_weight_decay_spares_biases_and_norms_unless_asked() -> None:
    run = make("model.norm=layer", "optimizer=adamw")
    decayed, spared = (group["params"] for group in run.optimizer.param_groups)
    assert [group["weight_decay"] for group in run.optimizer.param_groups] == [0.01, 0.0]
    assert all(weight.ndim == 2 for weight in decayed)
    assert all(weight.ndim == 1 for weight in spared)

    (everything,) = make("model.norm=layer", "optimizer=adamw", "decay_norm_and_bias=true").optimizer.param_groups
    assert len(everything["params"]) == len(decayed) + len(spared)


def test_every_row_is_visited_once_an_epoch_in_another_order() -> None:
    run = make("loop.batch_size=16")
    source, epochs = run.order.batches(run.state.step), []
    for _ in range(2):
        seen = []
        for _ in range(run.plan.steps_per_epoch):
            inputs, _ = next(source)
            seen.append(inputs)
            run.state.step += 1
        epochs.append(torch.cat(seen))
    rows = run.data.splits["train"].inputs
    assert not torch.equal(*epochs)
    for epoch in epochs:
        assert sorted(map(tuple, epoch.tolist())) == sorted(map(tuple, rows.tolist()))


def test_batches_and_what_asks_for_their_rows_draw_an_epochs_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, draw = [], order.epoch_order
    monkeypatch.setattr(order, "epoch_order", lambda *given: drawn.append(given) or draw(*given))
    order.order_on.cache_clear()
    run = make("loop.batch_size=40", "seed=5")
    rows = run.data.splits["train"].inputs
    for _, (inputs, _) in zip(range(2 * run.plan.steps_per_epoch), run.order.batches(run.state.step), strict=False):
        assert torch.equal(inputs, rows[run.order.visit(run.state.step, 0, len(inputs)).rows])
        run.state.step += 1
    assert drawn == [(len(rows), 5, 0), (len(rows), 5, 1)]


@pytest.mark.parametrize(
    "overrides",
    [(), ("loop.micro_batches=3",), ("loop.batch_size=full",), ("loop.batch_size=full", "loop.micro_batches=3")],
    ids=["batches", "micro-batches", "full-batch", "full-batch-in-parts"],
)
@pytest.mark.parametrize("start", [0, 7])
def test_an_augmentation_that_asks_is_told_the_epoch_and_the_rows(overrides: tuple[str, ...], start: int) -> None:
    run, told = make("dataset=digits", "augment=noise", "loop.batch_size=400", *overrides), list[Visit]()
    rows = run.data.splits["train"].inputs

    def change(batch: torch.Tensor, generator: torch.Generator, *, visit: Visit) -> torch.Tensor:
        assert torch.equal(rows[visit.rows], batch)
        told.append(visit)
        return batch

    run = replace(run, augment=(change,))
    run.state.step = start  # as resumed from there
    take, steps = step.eager(run), 2 * run.plan.steps_per_epoch
    for (inputs, targets), _ in zip(run.order.batches(run.state.step), range(steps), strict=False):
        take(inputs, targets)
        run.state.step += 1
    epochs = [index // run.plan.steps_per_epoch for index in range(start, start + steps)]
    assert [visit.epoch for visit in told] == [epoch for epoch in epochs for _ in range(run.config.loop.micro_batches)]


def test_a_batch_of_any_size_may_be_tried_with_an_augmentation_that_asks() -> None:
    run = make("dataset=digits", "augment=[flip,crop]", "augment.flip.alternating=true", "loop.batch_size=400")
    rows = run.data.splits["train"]
    for size in (1, 1000, len(rows)):
        before = [parameter.detach().clone() for parameter in run.model.parameters()]
        step.eager(run)(rows.inputs[:size], rows.targets[:size])
        assert not any(map(torch.equal, before, run.model.parameters()))
        run.state.step += 1


def test_two_successive_epochs_show_both_sides_of_every_image() -> None:
    run, seen = make("dataset=digits", "augment=[flip]", "augment.flip.alternating=true", "loop.batch_size=400"), []
    flip: Any = run.augment[0]

    def change(batch: torch.Tensor, generator: torch.Generator, *, visit: Visit) -> torch.Tensor:
        shown: torch.Tensor = flip(batch, generator, visit=visit)
        mirrored = (shown == batch.flip(-1)).flatten(1).all(1)
        assert torch.equal(torch.where(mirrored[:, None, None, None], batch.flip(-1), batch), shown)
        seen.append(dict(zip(visit.rows.tolist(), mirrored.tolist(), strict=True)))
        return shown

    run = replace(run, augment=(change,))
    take, steps = step.eager(run), run.plan.steps_per_epoch
    for (inputs, targets), _ in zip(run.order.batches(run.state.step), range(3 * steps), strict=False):
        take(inputs, targets)
        run.state.step += 1
    first, second, third = ({k: v for part in seen[i * steps :][:steps] for k, v in part.items()} for i in range(3))
    uneven = [
        row for row, image in enumerate(run.data.splits["train"].inputs) if not torch.equal(image, image.flip(-1))
    ]
    assert len(uneven) > 1000
    assert all(first[row] != second[row] and first[row] == third[row] for row in uneven)
    assert 0.4 < sum(first[row] for row in uneven) / len(uneven) < 0.6


def test_batches_from_the_middle_equal_those_of_a_run_from_the_start() -> None:
    first, second = make("loop.batch_size=16"), make("loop.batch_size=16")
    source = first.order.batches(first.state.step)
    for _ in range(10):
        wanted = next(source)[0]
        first.state.step += 1
    second.state.step = 9
    assert torch.equal(next(second.order.batches(second.state.step))[0], wanted)


@pytest.mark.parametrize(
    ("overrides", "steps", "reason"),
    [
        (["loop.epochs=3"], 9, "completed all 3 epochs"),  # 105 rows in batches of 50
        (["loop.epochs=3", "loop.max_steps=4"], 4, "reached loop.max_steps=4"),
        (["loop.epochs=1", "loop.max_steps=400"], 3, "completed 1 epoch (before loop.max_steps=400: raise loop.epochs to reach it)"),
        (["loop.epochs=null", "loop.max_steps=7"], 7, "reached loop.max_steps=7"),
        (["loop.batch_size=full", "loop.epochs=5"], 5, "completed all 5 epochs"),
        (["early_stopping=patience", "early_stopping.patience=2", "early_stopping.min_delta=99", "loop.epochs=50"],
         9, "early stopping: no improvement in 2 evaluations"),
        (["early_stopping=time", "early_stopping.minutes=1e-9"], 3, "early stopping: reached 1e-09 minutes of training"),
    ],
)  # fmt: skip
def test_the_budget_that_is_spent_first_ends_the_run(
    tmp_path: Path, overrides: list[str], steps: int, reason: str
) -> None:
    run, given = train(tmp_path / "run", *overrides)

    assert (run.state.step, given) == (steps, reason)


def test_the_reason_says_what_value_reached_the_target(tmp_path: Path) -> None:
    run, given = train(tmp_path / "run", "early_stopping=target", "early_stopping.target=99")

    assert run.state.best
    assert given == f"early stopping: val/loss={run.state.best.value:.6g} reached the target of 99"


def test_evaluations_come_at_their_steps_and_once_at_the_end(tmp_path: Path) -> None:
    seen = []

    class Recorder(Reporter):
        def evaluation(self, row: Any) -> None:
            seen.append(row["step"])

    run = make("loop.epochs=null", "loop.max_steps=10", "loop.eval_every_steps=4")
    (tmp_path / "run").mkdir()
    loop.train(run, tmp_path / "run", Recorder())

    assert seen == [4, 8, 10]


def test_the_schedule_sets_the_rate_of_every_step() -> None:
    run = make("schedule=exponential", "schedule.gamma=0.5", "schedule.staircase=true", "optimizer.lr=0.8")
    rates = []
    for run.state.step in range(6):
        loop.set_learning_rate(run)
        assert rate.learning_rate(run, run.state.step) == run.optimizer.param_groups[0]["lr"]
        rates.append(rate.learning_rate(run, run.state.position))
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4]


def test_every_group_of_an_optimizer_follows_the_schedule_from_its_own_rate() -> None:
    run = make("schedule=exponential", "schedule.gamma=0.5", "schedule.staircase=true", "optimizer=muon")
    rates = []
    for run.state.step in (0, 3, 6):
        loop.set_learning_rate(run)
        rates.append([group["lr"] for group in run.optimizer.param_groups])
    assert rates == [[0.02, 0.0003], [0.01, 0.00015], [0.005, 0.000075]]


@pytest.mark.parametrize(
    ("optimizer", "key", "wanted"),
    [
        (("sgd",), lambda group: group["momentum"], [0.95, 0.85]),
        (("adam",), lambda group: group["betas"], [(0.95, 0.999), (0.85, 0.999)]),
        (("rmsprop", "optimizer.momentum=0.5"), lambda group: group["momentum"], [0.95, 0.85]),
        (("sgd", "optimizer.momentum=0"), lambda group: group["momentum"], [0, 0]),
        (("rmsprop",), lambda group: group["momentum"], [0.0, 0.0]),
        (("adam", "optimizer.beta1=0"), lambda group: group["betas"], [(0, 0.999), (0, 0.999)]),
        (("adagrad",), lambda group: group.get("momentum"), [None, None]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_one_cycle_moves_the_momentum_of_optimizers_that_have_one(optimizer: Any, key: Any, wanted: Any) -> None:
    name, *changes = optimizer
    run = make("schedule=one_cycle", "schedule.peak_fraction=0.5", f"optimizer={name}", *changes)
    found = []
    for run.state.step in (0, 2):  # of 6: the highest rate is at step 2
        loop.set_learning_rate(run)
        found.append(key(run.optimizer.param_groups[0]))
    assert found == pytest.approx(wanted) if isinstance(wanted[0], float) else found == wanted


def test_a_plateau_reduces_the_rate_at_the_evaluation_that_shows_it(tmp_path: Path) -> None:
    # No change counts as an improvement after the first: every second evaluation of the others halves the rate.
    run = make(
        "schedule=plateau", "schedule.patience=1", "schedule.factor=0.5", "schedule.threshold=99", "loop.epochs=6"
    )
    (tmp_path / "run").mkdir()
    rates = []

    class Recorder(Reporter):
        def evaluation(self, row: Any) -> None:
            rates.append(row["lr"])

    loop.train(run, tmp_path / "run", Recorder())
    assert rates == [0.001, 0.001, 0.001, 0.0005, 0.0005, 0.00025]
    assert run.state.reaction.factor == 0.25


class Ticking:
    """A clock by which each look at it takes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(budget.time, "perf_counter", self.tick)

    def tick(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize(
    "overrides",
    [
        ("loop.epochs=null",),
        ("loop.epochs=30",),
        ("loop.epochs=30", "schedule=plateau", "schedule.patience=0", "schedule.threshold=99"),
    ],
)
@pytest.mark.parametrize("stops", [(), (2,), (1, 3)], ids=["whole", "stopped", "stopped-twice"])
def test_the_rate_that_is_recorded_is_that_of_the_newest_step_by_any_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], stops: tuple[int, ...]
) -> None:
    chosen = compose.compose([*PLAIN, "loop.max_time=20s", "schedule=cosine", *overrides])
    Ticking(monkeypatch)
    used: dict[int, float] = {}
    original = loop.set_learning_rate

    def set_learning_rate(run: Run) -> None:
        original(run)
        used[run.state.step + 1] = run.optimizer.param_groups[0]["lr"]

    monkeypatch.setattr(loop, "set_learning_rate", set_learning_rate)
    calls = itertools.count(1)

    def evaluate(*arguments: Any) -> dict[str, float]:
        if next(calls) in stops:
            signal.raise_signal(signal.SIGTERM)
        return evaluation.evaluate(*arguments)

    monkeypatch.setattr(loop, "evaluate", evaluate)
    train = session.begin  # the first session begins the run, the others resume it
    for _ in stops:
        with pytest.raises(Terminated):
            train(chosen, [], tmp_path / "run")
        train = session.resume
    train(chosen, [], tmp_path / "run")

    rows = [row for row in rundir.read_metrics(tmp_path / "run") if "lr" in row]
    assert len(rows) > 2
    assert len({row["lr"] for row in rows}) > 2
    assert [row["lr"] for row in rows] == [used[int(row["step"])] for row in rows]
    assert all(0 < row["samples_per_second"] < 100 for row in rows)


def test_an_evaluation_that_a_stop_broke_off_keeps_its_rate_in_a_rewind_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = compose.compose([*PLAIN, "loop.epochs=3", "loop.on_nonfinite=rewind", "checkpoint.every_seconds=99"])

    def stop(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise loop.Stopped

    with monkeypatch.context() as patched:
        patched.setattr(loop, "evaluate", stop)
        with pytest.raises(Terminated):
            session.begin(chosen, [], tmp_path / "run")
    original, left = loop.set_learning_rate, [2]  # the guard repeats the step before it believes it

    def poison(run: Run) -> None:
        original(run)
        if run.state.step == 4 and left[0]:
            left[0] -= 1
            next(run.model.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(loop, "set_learning_rate", poison)
    assert session.resume(chosen, [], tmp_path / "run")["rewinds"] == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rates = [(row["step"], row["lr"]) for row in lines if "lr" in row]
    assert rates == [(3, 0.001), (6, 0.0005), (9, 0.0005)]


def test_a_plateau_watches_only_metrics_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"schedule\.monitor=val/r2: a classification has no such metric"):
        make("schedule=plateau", "schedule.monitor=val/r2")


def test_a_budget_by_the_clock_moves_the_schedule_on() -> None:
    run = make("loop.max_time=10s", "loop.epochs=100")
    run.state.step, run.state.seconds = 30, 5.0
    assert rate.schedule_position(run) == 150
    run.state.step = 200
    assert rate.schedule_position(run) == 200
    alone = make("loop.max_time=10s", "loop.epochs=null")
    alone.state.step, alone.state.seconds = 10**6, 5.0
    assert budget.end_reason(alone) is None
    assert rate.schedule_position(alone) == alone.plan.total_steps // 2
    run.state.seconds = 11.0
    assert rate.schedule_position(run) == run.plan.total_steps
    assert budget.end_reason(run) == "reached loop.max_time=10s"


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val/loss", [float("nan"), 3.0, float("nan"), 1.0, 2.0], 1.0),
        ("val/accuracy", [0.1, 0.5, float("nan"), 0.4], 0.5),
    ],
)
def test_best_follows_the_metrics_direction_and_is_never_nan(monitor: str, values: list[float], best: float) -> None:
    run = make(f"monitor={monitor}")
    for run.state.step, value in enumerate(values, 1):
        loop.keep_best(run, value)
    assert run.state.best
    assert (run.state.best.value, run.state.best.step) == (best, values.index(best) + 1)


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    run = make()
    rows = run.data.splits["train"]
    rows.inputs[0] = float("inf")
    before = weights(run)
    with pytest.raises(NonFiniteError, match=r"the loss is (nan|inf) at step 1"):
        step.eager(run)(rows.inputs, rows.targets)
    assert torch.equal(weights(run), before)


def test_metrics_do_not_depend_on_the_size_of_evaluation_batches() -> None:
    from trainctl.train.evaluation import evaluate

    one, many = (evaluate(make(f"loop.eval_batch_size={size}").evaluation, "val") for size in (1, 1000))
    assert one == pytest.approx(many, rel=1e-6)


def test_evaluation_draws_no_random_numbers_and_leaves_the_model_training() -> None:
    from trainctl.train.evaluation import evaluate

    run = make("model.dropout=0.5")
    state = torch.get_rng_state()
    assert evaluate(run.evaluation, "val") == evaluate(run.evaluation, "val")
    assert torch.equal(state, torch.get_rng_state())
    assert run.model.training


def test_the_same_seed_gives_the_same_run_and_another_one_another(tmp_path: Path) -> None:
    results = [
        session.begin(compose.compose([*PLAIN, "model.dropout=0.5", f"seed={seed}"]), [], tmp_path / name)["metrics"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert results[0] == results[1] != results[2]


def judged(directory: Path, verdicts: list[str | None], *overrides: str, **more: Any) -> tuple[Run, list[Any], Ending]:
    """Train with a judge that has a verdict for each evaluation; return what it was asked about."""
    run, rows = more.get("run") or make("loop.epochs=3", *overrides), list[Any]()

    def judge(row: Row) -> str | None:
        rows.append(row)
        return verdicts[len(rows) - 1]

    directory.mkdir(exist_ok=True)
    return run, rows, loop.train(run, directory, MultiReporter(), judge=judge)


def test_a_judge_is_asked_after_each_evaluation_and_may_stop_the_run(tmp_path: Path) -> None:
    run, rows, ending = judged(tmp_path / "run", [None, "not among the best third"])

    assert ending == ("stopped", "not among the best third")
    assert [row["step"] for row in rows] == [3, 6]
    assert all({"lr", "val/loss", "train/loss"} <= row.keys() for row in rows)
    assert run.state.step == 6
    saved = restore.newest(tmp_path / "run").manifest
    assert (saved.step, saved.evaluated) == (6, 6)

    other = make("loop.epochs=3")
    restore.restore(other, restore.newest(tmp_path / "run"))
    _, rows, ending = judged(tmp_path / "run", [None], run=other)
    assert ending == ("finished", "completed all 3 epochs")
    assert [row["step"] for row in rows] == [9]
    assert torch.equal(weights(other), weights(judged(tmp_path / "whole", [None] * 3)[0]))


def test_a_run_that_is_done_is_finished_whatever_the_judge_says(tmp_path: Path) -> None:
    assert judged(tmp_path / "run", [None, None, "too late"])[2].outcome == "finished"


def test_a_stop_that_was_planned_comes_after_the_judge(tmp_path: Path) -> None:
    assert judged(tmp_path / "run", ["enough"], "loop.stop_at_step=3")[2] == ("stopped", "enough")
    with pytest.raises(Interrupted):
        judged(tmp_path / "other", [None], "loop.stop_at_step=3")


def test_a_run_stopped_by_its_judge_has_a_summary_and_is_resumed_to_the_same_end(tmp_path: Path) -> None:
    chosen = compose.compose([*PLAIN, "loop.epochs=3", "schedule=cosine"])
    summary = session.begin(chosen, [], tmp_path / "run", judge=lambda row: "worse" if row["step"] == 3 else None)

    assert (summary["outcome"], summary["reason"], summary["steps"]) == ("stopped", "worse", 3)
    assert summary["best"]["step"] == 3
    assert not any(name.startswith("test/") for name in summary["metrics"])
    assert rundir.read_json(tmp_path / "run" / "summary.json") == summary
    assert "trainctl resume" in (tmp_path / "run" / "log.txt").read_text()

    resumed = session.resume(chosen, [], tmp_path / "run")
    whole = session.begin(chosen, [], tmp_path / "whole")
    assert resumed["metrics"] == whole["metrics"]
    assert resumed["outcome"] == "finished"


def test_the_loop_stays_readable_in_one_go() -> None:
    assert len(Path(loop.__file__).read_text().splitlines()) < 150


def test_what_is_imported_or_drawn_at_an_evaluation_leaves_the_random_states_as_they_are(tmp_path: Path) -> None:
    class Curious(MultiReporter):
        def evaluation(self, row: Row) -> None:
            random.random()  # as rich does when it is imported for the first time
            np.random.random()

    states = []
    for place, reporter in enumerate((MultiReporter(), Curious())):
        run = make()
        (tmp_path / str(place)).mkdir()
        loop.train(run, tmp_path / str(place), reporter)
        states.append(device.random_states(run.device))
    assert all(torch.equal(states[0][kind], states[1][kind]) for kind in states[0])
