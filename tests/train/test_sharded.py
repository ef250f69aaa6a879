"""Processes that divide the weights train as one does, within rounding, and stop together whatever happens to one of them."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.fsdp  # before the processes are forked
from torch import nn

from tests import processes
from tests.finished.test_verify import change_row, change_tensor
from tests.together import COMMON, resume, rows, train
from trainctl.errors import Advice, ConfigError, DataError
from trainctl.finished import open as opening
from trainctl.finished.bitwise import Comparison, tensors_of
from trainctl.finished.reproduce import reproduce
from trainctl.finished.verify import verify
from trainctl.machine import world as worlds
from trainctl.settings import compose, existing
from trainctl.step import eager, sharded
from trainctl.step.fused import trained_parameters
from trainctl.store import checkpoint, restore
from trainctl.train import best, evaluation, loop, session

pytestmark = pytest.mark.usefixtures("quiet")

TOLERANCE = (
    1e-4  # of a tensor's norm, after up to 50 steps; 4e-7 is typical, and biases before batch norms have no gradient
)
SHARD = "distributed.shard=true"
ALONE = pytest.mark.filterwarnings("ignore:.*there is one process, so nothing is divided")
TINY = (*COMMON, "dataset=iris", "model=mlp", "model.hidden=[8]", "model.dropout=0.3", "loop.batch_size=26",
        "loop.micro_batches=4", "loop.max_steps=9", "loop.eval_every_steps=4", "loop.eval_batch_size=7")  # fmt: skip
DIGITS = (*COMMON, "dataset=digits", "loop.micro_batches=4", "loop.batch_size=49", "loop.eval_every_steps=20")


def difference(one: Path, other: Path, *, part: str = "") -> float:
    """Return the largest difference of a tensor, as a fraction of its norm; NaN if there is one. Random states are equal."""
    found = [tensors_of(restore.newest(path)) for path in (one, other)]
    assert found[0].keys() == found[1].keys()
    differences = []
    for name, value in found[0].items():
        if name.startswith("random."):
            torch.testing.assert_close(value, found[1][name], rtol=0, atol=0, equal_nan=True)
        elif value.is_floating_point() and part in name:
            apart = (value.double() - found[1][name].double()).norm()
            differences.append(float(apart / value.double().norm().clamp(min=1e-9)))
    return float(np.max(differences))  # Python's own max may pass over a NaN


def close(one: Path, other: Path) -> bool:
    """Return whether two runs have nearly the same evaluations."""
    pairs = list(zip(rows(one), rows(other), strict=True))
    return all(row[0] == pytest.approx(row[1], rel=TOLERANCE, abs=TOLERANCE) for row in pairs)


RUNS = {
    "few rows": (4, (*TINY, "optimizer=lion", "precision=bf16", "layer_decay=0.5", "augment=[noise]")),
    "adagrad": (2, (*TINY, "optimizer=adagrad", "metric=[f1]")),
    "mlp": (2, (*DIGITS, "model=mlp", "model.hidden=[32,32]", "loop.max_steps=50", "loop.clip_norm=0.5")),
    "images": (2, (*DIGITS, "model=cnn", "model.channels=[5]", "model.norm=layer", "model.dropout=0.2",
                   "loop.max_steps=10")),
    "sequences": (3, (*DIGITS, "model=rnn", "model.hidden_size=8", "loop.max_steps=5")),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_processes_that_divide_the_weights_train_as_one_does(name, tmp_path):
    size, words = RUNS[name]
    alone = train(tmp_path / "1", 1, words)
    assert train(tmp_path / "parts", size, [*words, SHARD])[0].keys() == alone[0].keys()
    assert close(tmp_path / "1", tmp_path / "parts")
    assert difference(tmp_path / "1", tmp_path / "parts") < TOLERANCE
    for file in ("checkpoints", "run.json", "summary.json"):
        assert (tmp_path / "parts" / file).exists()


@pytest.mark.slow
def test_batch_norms_have_the_statistics_of_one_process(tmp_path):
    words = (*DIGITS, "model=cnn", "model.channels=[4]", "model.norm=batch", "optimizer=sgd", "loop.max_steps=5")
    train(tmp_path / "1", 1, words)
    train(tmp_path / "parts", 3, [*words, SHARD])
    assert close(tmp_path / "1", tmp_path / "parts")
    assert difference(tmp_path / "1", tmp_path / "parts", part="running_") < TOLERANCE


@pytest.mark.slow
def test_a_run_is_continued_by_any_number_of_processes_with_and_without_shares(tmp_path):
    words = (*DIGITS, "model=mlp", "model.hidden=[32,32]", "model.dropout=0.2", "loop.max_steps=50")
    train(tmp_path / "1", 1, words)
    train(tmp_path / "parts", 2, [*words, SHARD, "loop.stop_at_step=9"])
    for size, shard, stop in ((1, "true", "23"), (3, "true", "31"), (2, "false", "42"), (4, "true", "null")):
        resume(tmp_path / "parts", size, f"distributed.shard={shard}", f"loop.stop_at_step={stop}")
    assert restore.newest(tmp_path / "parts").manifest.step == 50
    assert close(tmp_path / "1", tmp_path / "parts")
    assert difference(tmp_path / "1", tmp_path / "parts") < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "breakage",
    [
        lambda patch: patch.setattr(sharded, "total_of", lambda run, value: value),
        lambda patch: patch.setattr(sharded, "_keep_layout", lambda model: None),
        lambda patch: patch.setattr(sharded, "_share", lambda run, value: getattr(value, "clone", lambda: value)()[:1]),
    ],
    ids=["norm of a share", "layout", "wrong rows"],
)
def test_without_one_of_the_rules_the_results_differ(breakage, tmp_path, monkeypatch):
    words = [*RUNS["images"][1], "loop.clip_norm=0.1"]
    breakage(monkeypatch)
    train(tmp_path / "1", 1, words)
    train(tmp_path / "parts", 2, [*words, SHARD, "loop.stop_at_step=4"])
    resume(tmp_path / "parts", 2, "loop.stop_at_step=null")
    step = restore.newest(tmp_path / "parts").manifest.step
    assert step < 10 or not difference(tmp_path / "1", tmp_path / "parts") <= 100 * TOLERANCE  # it may be NaN


@pytest.mark.slow
def test_each_process_keeps_its_share_of_weights_gradients_and_state(tmp_path, monkeypatch):
    kept, take = tmp_path / "kept", loop.train

    def noted(run: Any, *given: Any, **named: Any) -> Any:
        try:
            return take(run, *given, **named)
        finally:
            own = trained_parameters(run.optimizer)
            assert not any(each.numel() for layer in run.freezer.layers for each in layer)  # the weights before
            grown = [each.grad.numel() for each in own]
            state = [each["exp_avg"].numel() for each in run.optimizer.state.values()]
            numbers = [sum(each.numel() for each in own), sum(grown), sum(state), run.parameters]
            Path(f"{kept}-{run.world.rank}").write_text(" ".join(map(str, numbers)))

    monkeypatch.setattr(loop, "train", noted)
    train(tmp_path / "run", 3, [*TINY, SHARD])
    weights, gradients, state, whole = np.transpose([np.loadtxt(f"{kept}-{rank}") for rank in range(3)])
    assert sum(weights) == whole[0] == whole[2]
    assert max(weights) < whole[0] / 2
    assert list(weights) == list(gradients) == list(state)


def failing() -> None:
    raise DataError("no such row")


def wrong_shapes() -> None:
    torch.zeros(2) @ torch.zeros(3)


def greedy() -> None:
    raise MemoryError


def send(sign: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), sign)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "act", "rank", "code", "message", "step"),
    [
        ("step", failing, 1, 3, "no such row", 4),
        ("step", failing, 0, 3, "no such row", 4),
        ("step", wrong_shapes, 1, 1, "inconsistent tensor size", 4),
        ("step", greedy, 1, 7, "out of memory", 4),
        ("step", send(signal.SIGKILL), 1, 7, "has disappeared without a message", 4),
        ("step", send(signal.SIGTERM), 1, 143, "stopped at step 7 of 9", 7),
        ("evaluation", failing, 1, 3, "no such row", 4),
        ("evaluation", send(signal.SIGKILL), 1, 7, "has disappeared without a message", 4),
    ],
)
def test_what_ends_one_process_inside_a_part_ends_all(
    where, act, rank, code, message, step, tmp_path, capfd, monkeypatch
):
    module, name, at = (eager, "compare", 13) if where == "step" else (evaluation, "scaled", 3)
    original, calls, own = getattr(module, name), [0], os.getpid()

    def disturbed(*given: Any) -> Any:
        calls[0] += 1
        if calls[0] == at and os.getpid() != own and worlds.current().rank == rank:
            act()
        return original(*given)

    monkeypatch.setattr(module, name, disturbed)
    began = time.monotonic()
    assert train(tmp_path / "run", 2, [*TINY, SHARD, "checkpoint.every_seconds=0"])[0] == code
    assert time.monotonic() - began < 40  # on a busy machine
    assert message in capfd.readouterr().err
    assert restore.newest(tmp_path / "run").manifest.step == step
    lost = "the newest checkpoint is the last good state, as each process had a share of the weights"
    assert (lost in (tmp_path / "run/log.txt").read_text()) == (step == 4)


@pytest.mark.slow
def test_a_process_that_hangs_in_the_last_measurement_is_named(tmp_path, capfd, monkeypatch):
    confusion, own = best.confusion, os.getpid()

    def slow(*given: Any) -> Any:
        if os.getpid() != own and worlds.current().rank:
            time.sleep(6)
        return confusion(*given)

    monkeypatch.setattr(best, "confusion", slow)
    words = [*TINY, SHARD, "loop.max_steps=2", "distributed.timeout=1.5s"]
    assert train(tmp_path / "run", 2, words)[0] == 7
    assert "has not answered for 1.5 s (distributed.timeout)" in capfd.readouterr().err


@pytest.mark.slow
def test_all_processes_skip_a_step_whose_loss_is_not_finite(tmp_path):
    words = (*TINY, "optimizer.lr=1e30", "loop.on_nonfinite=skip", "checkpoint.every_seconds=0")
    for size, more in ((1, ()), (2, (SHARD,))):
        train(tmp_path / str(size), size, [*words, *more])
        assert restore.newest(tmp_path / str(size)).manifest.state["skipped"] == 8
        assert "the gradient of 1.weight" in (tmp_path / str(size) / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [("model=mlp",), ("model=cnn", "model.channels=[5]"), ("model=rnn", "model.hidden_size=8")]
)
def test_rows_that_do_not_count_change_nothing_even_if_they_are_infinite(model, tmp_path, monkeypatch):
    words = (*DIGITS, *model, "loop.micro_batches=3", "loop.max_steps=3")
    train(tmp_path / "1", 1, words)
    begin, calls = sharded.ShardedExchange.__init__, tmp_path / "calls"

    def spoiled(self: Any, run: Any, compute: Any) -> None:
        def counted(piece: Any) -> Any:
            calls.open("a").write("x")
            return compute(piece)

        begin(self, run, counted)  # parts that count are computed by another function
        self.rows = (torch.full_like(self.rows[0].float(), torch.inf), self.rows[1])

    monkeypatch.setattr(sharded.ShardedExchange, "__init__", spoiled)
    assert train(tmp_path / "parts", 2, [*words, SHARD])[0]
    assert len(calls.read_text()) == 3  # one of the two has a part less in each step
    assert difference(tmp_path / "1", tmp_path / "parts") < TOLERANCE


@pytest.mark.slow
def test_the_step_before_one_that_is_not_finite_is_saved(tmp_path):
    words = [*TINY, SHARD, "loop.eval_every_steps=9", "checkpoint.every_seconds=1000", "optimizer.lr=1e30"]
    assert train(tmp_path / "run", 2, words)[0] == 6
    assert restore.newest(tmp_path / "run").manifest.step == 1


@pytest.mark.slow
def test_the_size_of_a_checkpoint_is_known_before_and_after_the_weights_are_divided(tmp_path, monkeypatch):
    size, sizes = checkpoint.size, tmp_path / "sizes"

    def noted(run: Any) -> int:
        with sizes.open("a") as file:
            file.write(f"{size(run)}\n")
        return size(run)

    monkeypatch.setattr(checkpoint, "size", noted)
    train(tmp_path / "run", 3, [*TINY, SHARD, "model.hidden=[256,256]", "loop.max_steps=2"])
    found = np.loadtxt(sizes)
    assert len(found) > 2
    assert found.max() < 1.1 * found.min()


def test_one_process_divides_nothing_and_says_so(tmp_path):
    with pytest.warns(Advice, match="there is one process, so nothing is divided"):
        session.begin(compose.compose([*TINY, SHARD, "loop.max_steps=1"]), [], tmp_path / "run")


def compared(path: Path, size: int, how: str, *words: str) -> Comparison:
    """Repeat a run in several processes, or in this one."""

    def work() -> Comparison:
        run = opening.open(path, [], words, existing.AGAIN)
        return verify(run, "start", None) if how == "verify" else reproduce(run, path.parent / f"again-{size}")

    found = processes.run(size, work)[0] if size > 1 else work()
    assert isinstance(found, Comparison)  # and not an exit code
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3])
@ALONE
def test_a_run_of_which_each_process_had_a_share_is_compared_within_rounding(size, tmp_path):
    # Biases before batch norms are rounding alone. The last batch of an epoch has 6 rows, 2 in each part.
    words = [*TINY, SHARD, "model.norm=batch", "loop.max_steps=8", "loop.batch_size=20", "loop.micro_batches=3"]
    train(tmp_path / "run", 2, words)
    for how, evaluations in (("verify", 2), ("reproduce", 3)):
        found = compared(tmp_path / "run", size, how)
        assert (found.difference, found.allowed, found.evaluations) == ("", 1e-4, evaluations)
        assert found.tensors > 20
    name = change_tensor(tmp_path / "run", "model.5.weight", 0.1)
    assert f"tensor {name} differs by" in compared(tmp_path / "run", size, "verify").difference
    change_row(tmp_path / "run", 4, "val/loss", 0.1)
    found = compared(tmp_path / "run", size, "verify")
    assert "step 4: val/loss was 0.1, is now" in found.difference
    assert "rounding grows with the number of steps" in found.explanation


@pytest.mark.slow
@ALONE
def test_a_run_that_one_process_has_trained_alone_is_compared_bit_by_bit(tmp_path):
    train(tmp_path / "run", 1, [*TINY, SHARD, "loop.stop_at_step=5"])
    found = compared(tmp_path / "run", 1, "verify")
    assert (found.difference, found.kind) == ("", "bit-identical")
    resume(tmp_path / "run", 2, "loop.stop_at_step=null")
    found = compared(tmp_path / "run", 1, "verify", "distributed.shard=false")
    assert (found.difference, found.kind) == ("", "the same within 0.0001 (distributed.shard=true)")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer=muon"], "optimizer=muon may look at whole matrices: use one of adadelta, adagrad, adam,"),
        (["average=ema"], "average=ema looks at whole weights, of which each process has some rows only"),
        (["regularizer=[l2]"], "regularizer=l2 looks at whole weights"),
        (["compress=[prune]"], "compress=prune looks at whole weights"),
        (["teacher=mean", "split.labels=50"], "teacher=mean looks at whole weights"),
        (["freeze=gradual"], "freeze=gradual looks at whole weights"),
        (["precision=fp16", "device=cuda"], "precision=fp16 skips a step if any gradient overflows"),
        (["loop.record=always"], "loop.record=always is not possible"),
        (["loop.checkpoint_activations=true"], "loop.checkpoint_activations=true computes parts of the model apart"),
        (["loop.on_nonfinite=rewind"], "loop.on_nonfinite=rewind needs all weights of a checkpoint"),
        (["distributed.split_state=true"], "distributed.split_state=true divides the optimizer's state"),
        (["init=run", "init.run=x"], "init.name=run starts from the weights of another run"),
    ],
)
def test_what_cannot_be_divided_is_refused_by_name(words, message):
    with pytest.raises(ConfigError) as caught:
        compose.compose(["model=mlp", "processes=2", SHARD, *words])
    assert f"distributed.shard=true: {message}" in str(caught.value)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(2, 2), nn.Linear(2, 2)
        self.other.weight = self.one.weight


def test_weights_that_layers_share_are_refused():
    with pytest.raises(ConfigError, match="layers of the model share weights"):
        sharded.require_divisible(SimpleNamespace(model=Shared(), world=worlds.ALONE))  # type: ignore[arg-type]


def test_an_attention_layer_is_one_unit():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.MultiheadAttention(4, 1))
    assert sharded.units(model) == [model[0][0], model[1]]
