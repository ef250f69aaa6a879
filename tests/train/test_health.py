"""Numbers that are not finite, and a lack of memory: found before they do harm, explained, and nothing good is lost."""

import json
import math
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainctl.errors import Interrupted, NonFiniteError, UnavailableError
from trainctl.run import assemble
from trainctl.run.reporter import MultiReporter
from trainctl.run.run import Run
from trainctl.settings import compose, config
from trainctl.step import eager as step
from trainctl.step import engine
from trainctl.step.part import Compute, Part
from trainctl.store import restore, rundir
from trainctl.store.manifest import checksum
from trainctl.store.tensors import write as write_tensors
from trainctl.train import blame, diverging, health, loop, session, snapshot
from trainctl.train import checkpoint_writer as saving
from trainctl.train.snapshot import Snapshot

# 105 rows in batches of 16: 7 steps an epoch, 21 in all. Everything that draws random numbers or keeps statistics.
PLAIN = (
    "dataset=iris", "model.hidden=[8]", "model.norm=batch", "model.dropout=0.2", "loop.batch_size=16", "loop.epochs=3",
    "output.plots=false", "checkpoint.every_seconds=0",
)  # fmt: skip


def settings(*overrides: str) -> config.Config:
    return compose.compose([*PLAIN, *overrides])


class Poison:
    """Makes a run's steps go wrong at chosen steps: what they compute is changed on the way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: Sequence[int], spoil: Callable[[Part], None]) -> None:
        whole = step.optimizer_step
        self.met: list[int] = []

        def spoilt(run: Run, compute: Compute, update: Any, **more: Any) -> step.Step:
            def changed(*given: Any) -> Part:
                part = compute(*given)
                if run.state.step in at:
                    self.met.append(run.state.step)
                    spoil(part)
                return part

            return whole(run, changed, update, **more)

        for module in (step, engine):
            monkeypatch.setattr(module, "optimizer_step", spoilt)


def bad_loss(part: Part) -> None:
    part.loss = torch.tensor(math.nan)


def bad_gradient(part: Part) -> None:
    gradient = part.gradients[1]
    assert gradient is not None
    part.gradients[1] = gradient.clone()
    part.gradients[1].flatten()[0] = math.inf


def newest(directory: Path, *overrides: str) -> Run:
    run = assemble.assemble(settings(*overrides))
    restore.restore(run, restore.newest(directory))
    return run


def tensors(directory: Path) -> dict[str, Tensor]:
    return restore.newest(directory).tensors("last")


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def stopped_at(directory: Path, number: int, *overrides: str) -> dict[str, Tensor]:
    with pytest.raises(Interrupted):
        session.begin(settings(f"loop.stop_at_step={number}", *overrides), [], directory)
    return tensors(directory)


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [bad_loss, bad_gradient])
@pytest.mark.parametrize("overrides", [(), ("loop.record=never", "optimizer=sgd"), ("average=ema", "optimizer=lion")])
def test_the_state_before_a_bad_step_is_kept_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Part], None], overrides: tuple[str, ...]
) -> None:
    wanted = stopped_at(tmp_path / "good", 10, *overrides)
    monkeypatch.setattr(health, "EVERY_STEPS", 5)
    Poison(monkeypatch, [10], spoil)
    what = "loss is nan" if spoil is bad_loss else "gradient's norm is inf"
    with pytest.raises(
        NonFiniteError, match=rf"the {what} at step 11 \(epoch 1\.43, learning rate 0\.\d+\).*rows of the"
    ):
        session.begin(settings(*overrides), [], tmp_path / "bad")

    assert_equal(tensors(tmp_path / "bad"), wanted)
    assert rundir.read_json(tmp_path / "bad" / "summary.json")["outcome"] == "failed"
    assert [row["step"] for row in rundir.read_metrics(tmp_path / "bad")] == [7]


@pytest.mark.parametrize("cause", ["inputs", "weights"])
def test_a_message_names_layer_gradients_and_rows(tmp_path: Path, cause: str) -> None:
    run = assemble.assemble(settings("model.norm=none"))
    first = next(name for name, module in run.model.named_modules() if isinstance(module, nn.Linear))
    if cause == "inputs":
        run.data.splits["train"].inputs[17] = math.inf
    else:
        run.model.get_parameter(f"{first}.weight").data.fill_(3e38)
    (tmp_path / "run").mkdir()
    with pytest.raises(NonFiniteError) as caught:
        loop.train(run, tmp_path / "run", MultiReporter())

    told, message = rundir.read_json(tmp_path / "run" / blame.FILE), str(caught.value)
    assert f"{first}.weight" in told["gradients"]
    assert f"the gradient of {first}.weight" in message
    assert len(told["rows"]) in (16, 10)  # the last batch of an epoch is smaller
    assert f"and {len(told['rows']) - 8} more of the training split (all in nonfinite.json)" in message
    if cause == "inputs":
        assert (told["layer"], told["rows_with_bad_inputs"]) == ("", [17])
        assert 17 in told["rows"]
        assert "the inputs of row 17 are not finite" in message
    else:
        assert (told["layer"], told["rows_with_bad_inputs"]) == (f"{first} (Linear)", [])
        assert f"the first non-finite values are in the output of {first} (Linear)" in message


def test_the_rows_of_a_batch_are_those_that_it_holds() -> None:
    for size in ("16", "full"):
        run = assemble.assemble(settings(f"loop.batch_size={size}"))
        for run.state.step in (0, 6, 9):
            inputs, _ = next(run.order.batches(run.state.step))
            assert torch.equal(run.data.splits["train"].inputs[run.order.row_numbers(run.state.step)], inputs)


def test_a_step_whose_update_is_not_finite_is_undone(tmp_path: Path) -> None:
    chosen = ("optimizer=sgd", "optimizer.lr=1e38", "model.norm=none", "optimizer.momentum=0.0")
    with pytest.raises(NonFiniteError, match=r"at step \d+ "):
        session.begin(settings(*chosen), [], tmp_path / "run")
    kept = {key: value for key, value in tensors(tmp_path / "run").items() if not key.startswith("random.")}
    assert all(torch.isfinite(value).all() for value in kept.values())


def test_an_infinite_buffer_is_a_mask_unless_it_becomes_so_or_is_not_a_number(tmp_path: Path) -> None:
    run = assemble.assemble(settings("loop.max_steps=3", "loop.epochs=null"))
    run.model.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
    (tmp_path / "run").mkdir()
    assert "max_steps" in loop.train(run, tmp_path / "run", MultiReporter()).reason

    spared = snapshot.masks(run)
    assert snapshot.state_is_finite(run, spared)
    for name, value in (("mask", math.nan), ("2.running_var", math.inf)):
        buffer = run.model.get_buffer(name)
        before = buffer.clone()
        buffer[0] = value
        assert not snapshot.state_is_finite(run, spared)
        buffer.copy_(before)


def test_a_step_is_skipped_and_the_run_goes_on_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = "loop.on_nonfinite=skip"
    poison = Poison(monkeypatch, [3, 9, 10], bad_gradient)
    summary = session.begin(settings(chosen), [], tmp_path / "whole")

    assert (summary["outcome"], summary["skipped"], summary["steps"]) == ("finished", 3, 21)
    rows = rundir.read_metrics(tmp_path / "whole")
    assert [(row["step"], row.get("skipped")) for row in rows if "val/loss" in row] == [(7, 1), (14, 3), (21, 3)]
    assert set(poison.met) == {3, 9, 10}
    for cut in (4, 10):
        stopped_at(tmp_path / f"cut{cut}", cut, chosen)
        session.resume(settings(chosen), [], tmp_path / f"cut{cut}")
        assert_equal(tensors(tmp_path / f"cut{cut}"), tensors(tmp_path / "whole"))
        assert newest(tmp_path / f"cut{cut}").state.skipped == 3


def test_a_skipped_step_changes_nothing_but_its_place_and_the_random_numbers() -> None:
    run = assemble.assemble(settings("loop.on_nonfinite=skip", "scale=none"))
    watch = health.Health(run, saving.NullWriter(run, Path(), MultiReporter()), MultiReporter())
    source = run.order.batches(run.state.step)
    before, random = Snapshot(run), torch.get_rng_state()
    inputs, targets = next(source)
    assert not watch.step(inputs * math.nan, targets)
    assert watch.step(inputs * math.nan, targets)
    after = Snapshot(run).tensors
    assert before.tensors.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.tensors.items())
    assert not torch.equal(torch.get_rng_state(), random)
    assert (run.state.skipped, run.state.skipped_in_row) == (1, 1)
    run.state.step += 1
    assert watch.step(*next(source))
    assert (run.state.skipped, run.state.skipped_in_row) == (1, 0)


def test_too_many_skips_in_a_row_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Poison(monkeypatch, range(5, 99), bad_loss)
    with pytest.raises(NonFiniteError, match=r"at step 16 .*\(after 10 skipped steps in a row\)"):
        session.begin(settings("loop.on_nonfinite=skip"), [], tmp_path / "run")
    assert newest(tmp_path / "run").state.skipped == health.MOST_SKIPS_IN_ROW


def test_a_run_rewinds_to_its_newest_checkpoint_and_goes_on_at_half_the_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, chosen = [10], "loop.on_nonfinite=rewind"

    def once(part: Part) -> None:
        bad_loss(part)
        if len(poison.met) == 4:  # fast, closely, and explained: of the first try
            at.clear()

    with monkeypatch.context() as patched:
        poison = Poison(patched, at, once)
        poison.met.append(-1)
        summary = session.begin(settings(chosen), [], tmp_path / "run")
    assert (summary["outcome"], summary["rewinds"]) == ("finished", 1)
    rows = [row for row in rundir.read_metrics(tmp_path / "run") if "val/loss" in row]
    assert [(row["step"], row["lr"]) for row in rows] == [(7, 0.001), (14, 0.0005), (21, 0.0005)]
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "continuing from step 7 with 0.5 times the learning rate (rewind 1 of 5)" in log

    # Recorded in the state: a run stopped and resumed after the rewind ends alike.
    stopped_at(tmp_path / "cut", 7, chosen)
    manifest = next((tmp_path / "cut" / "checkpoints").glob("step-*7.json"))
    saved = json.loads(manifest.read_text())
    saved["state"]["rewinds"] = 1
    saved["sha256"] = checksum(saved)
    manifest.write_text(json.dumps(saved))
    session.resume(settings(chosen), [], tmp_path / "cut")
    assert_equal(tensors(tmp_path / "cut"), tensors(tmp_path / "run"))


def test_rewinds_are_bounded_and_forget_what_was_evaluated_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Poison(monkeypatch, [10], bad_gradient)
    with pytest.raises(NonFiniteError, match=r"at step 11 .*\(after 5 rewinds\)"):
        session.begin(settings("loop.on_nonfinite=rewind", "checkpoint.every_seconds=99"), [], tmp_path / "run")
    assert [row["step"] for row in rundir.read_metrics(tmp_path / "run")] == [7]  # once, though come to six times
    assert newest(tmp_path / "run").state.rewinds == health.MOST_REWINDS
    assert (tmp_path / "run" / "log.txt").read_text().count("continuing from step 0 with") == 5


@pytest.mark.parametrize("place", ["newest", "restore"])
def test_a_rewind_that_fails_midway_keeps_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    Poison(monkeypatch, [10], bad_loss)

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(restore, place, fail)
        with pytest.raises(UnavailableError):
            session.begin(settings("loop.on_nonfinite=rewind"), [], tmp_path / "run")
    saved = newest(tmp_path / "run")
    assert saved.state.step == 10
    assert saved.state.best_weights.keys() == saved.model.state_dict().keys()


class Scripted:
    """Replaces the validation loss at each evaluation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, values: Sequence[float], key: str = "val/loss") -> None:
        whole, left = loop.evaluate, list(values)

        def evaluate(*given: Any) -> dict[str, float]:
            return whole(*given) | {key: left.pop(0)}

        monkeypatch.setattr(loop, "evaluate", evaluate)


NAN = math.nan


@pytest.mark.parametrize(
    ("values", "best", "steps", "reason"),
    [
        ([NAN, NAN, 3.0, 2.0, 1.0], 35, 35, "NaN first, then better and better"),
        ([1.0, NAN, NAN, NAN, NAN], 7, 35, "NaN is no patience"),
        ([1.0, NAN, 2.0, NAN, 2.0], 7, 35, "worse twice, with NaN between: patience is spent at the end"),
        ([1.0, 2.0, NAN, 2.0, 0.5], 7, 28, "worse twice: stopped before the best could come"),
        ([math.inf, 5.0, NAN, 4.0, -math.inf], 28, 35, "infinity is never the best"),
    ],
)
def test_nan_is_never_best_and_never_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[float], best: int, steps: int, reason: str
) -> None:
    Scripted(monkeypatch, values)
    chosen = ("loop.epochs=5", "early_stopping=patience", "early_stopping.patience=2")
    summary = session.begin(settings(*chosen), [], tmp_path / "run")
    assert (summary["best"]["step"], summary["steps"]) == (best, steps), reason
    assert "cannot be the best" in (tmp_path / "run" / "log.txt").read_text()


def test_a_metric_that_was_never_finite_fails_at_the_end_and_keeps_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted(monkeypatch, [NAN] * 3)
    with pytest.raises(NonFiniteError, match="val/loss was never finite"):
        session.begin(settings(), [], tmp_path / "run")
    assert rundir.read_json(tmp_path / "run" / "summary.json")["outcome"] == "failed"
    assert newest(tmp_path / "run").state.step == 21


def test_a_loss_far_above_where_it_began_is_told_and_does_not_stop() -> None:
    notes: list[str] = []
    run = assemble.assemble(settings())
    for loss in (2.0, 19.0, 21.0):
        run.state.first_loss = diverging.warn(run, {"train/loss": loss, "val/loss": 1.0}, notes.append)
    assert [note.partition(":")[0] for note in notes] == ["diverging"]
    assert "train/loss is 21 at step 0, and was 2 at the first evaluation" in notes[0]


@pytest.mark.parametrize(
    ("error", "size"),
    [
        (MemoryError(), ""),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes."),
            ": could not allocate 4.0 GB",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"),
            ": could not allocate 2.50 GiB",
        ),
    ],
)
def test_a_lack_of_memory_in_a_step_saves_the_last_completed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, size: str
) -> None:
    wanted = stopped_at(tmp_path / "good", 10)

    def fail(part: Part) -> None:
        raise error

    Poison(monkeypatch, [10], fail)
    message = rf"out of memory{size}; try a smaller loop.batch_size.*the state at step 10 is saved"
    with pytest.raises(UnavailableError, match=message):
        session.begin(settings(), [], tmp_path / "bad")
    assert_equal(tensors(tmp_path / "bad"), wanted)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="POSIX")
def test_a_lack_of_memory_for_a_checkpoint_ends_no_process(tmp_path: Path) -> None:
    transposed = {"x": torch.empty(2**14, 2**15).t()}  # 2 GB, never touched; to be written in another order
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 2**28, before[1]))
    try:
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            write_tensors(tmp_path / "x", transposed)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert list(tmp_path.iterdir()) == []


def once(at: list[int], error: Exception) -> Callable[[Part], None]:
    """Return what raises an error the first time that it is reached."""

    def fail(part: Part) -> None:
        at.clear()
        raise error

    return fail


def test_a_lack_of_memory_that_does_not_come_again_is_survived_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.begin(settings(), [], tmp_path / "whole")
    at = [10]
    Poison(monkeypatch, at, once(at, MemoryError()))
    session.begin(settings(), [], tmp_path / "run")
    assert_equal(tensors(tmp_path / "run"), tensors(tmp_path / "whole"))
    assert "; repeating steps 8 to 11 and checking every gradient" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "always"])
@pytest.mark.parametrize(("every", "saved"), [(100, 7), (2, 9)])
def test_a_bug_is_raised_at_once_and_the_last_good_state_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, saved: int, *, lasting: bool
) -> None:
    """Step 8 is the first after an evaluation; from there on, the state is looked at every so many steps."""
    session.begin(settings(), [], tmp_path / "whole")
    wanted = stopped_at(tmp_path / "good", saved)
    monkeypatch.setattr(health, "EVERY_STEPS", every)
    at = [10]
    with monkeypatch.context() as patched:
        poison = Poison(patched, at, once([] if lasting else at, IndexError("in a component")))
        with pytest.raises(IndexError, match="in a component"):
            session.begin(settings(), [], tmp_path / "bad")
    assert poison.met == [10]  # it is not tried again
    assert_equal(tensors(tmp_path / "bad"), wanted)
    log = (tmp_path / "bad" / "log.txt").read_text()
    assert f"the state at step {saved} is saved; fix the error, then resume with: trainctl resume {tmp_path}" in log
    session.resume(settings(), [], tmp_path / "bad")
    assert_equal(tensors(tmp_path / "bad"), tensors(tmp_path / "whole"))


def test_a_loss_that_raises_once_ends_the_command_with_its_error_and_a_run_to_resume(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    for folder in ("my/loss", "conf/loss"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "my" / "loss" / "shaky.py").write_text(
        "import torch\n"
        "from trainctl.components.loss.base import Loss\n"
        "calls = []\n"
        "def shaky() -> Loss:\n"
        "    def loss(outputs, targets):\n"
        "        calls.append(1)\n"
        "        if len(calls) == 6:\n"
        "            raise IndexError('the sixth call of shaky')\n"
        "        return torch.nn.functional.cross_entropy(outputs, targets)\n"
        "    return Loss(loss, ('classification',))\n"
    )
    (tmp_path / "conf" / "loss" / "shaky.yaml").write_text("name: shaky\n")
    words = ("components=[my]", "loss=shaky", "dataset=iris", "loop.epochs=3", "output.plots=false")
    done = command(*words)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "IndexError: the sixth call of shaky" in done.stderr
    (directory,) = (path.parent for path in (tmp_path / "runs").glob("*/config.yaml"))
    assert (
        f"is saved; fix the error, then resume with: trainctl resume {directory.relative_to(tmp_path)}" in done.stdout
    )
    summary = rundir.read_json(directory / "summary.json")
    assert (summary["outcome"], summary["reason"]) == ("failed", "IndexError: the sixth call of shaky")
    source = (tmp_path / "my" / "loss" / "shaky.py").read_text()
    (tmp_path / "my" / "loss" / "shaky.py").write_text(source.replace("== 6", "== 6000"))  # longer: Python sees it
    assert command("resume", str(directory), "components=[my]").returncode == 0
    assert rundir.read_json(directory / "summary.json")["outcome"] == "finished"


def test_a_lack_of_memory_in_an_evaluation_repeats_it_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.begin(settings(), [], tmp_path / "whole")
    with monkeypatch.context() as patched:

        def evaluate(*given: Any) -> dict[str, float]:
            raise MemoryError

        patched.setattr(loop, "evaluate", evaluate)
        with pytest.raises(UnavailableError, match=r"loop\.eval_batch_size; the state at step 7 is saved"):
            session.begin(settings(), [], tmp_path / "cut")
    session.resume(settings(), [], tmp_path / "cut")
    assert_same_records(tmp_path / "cut", tmp_path / "whole")


def assert_same_records(one: Path, other: Path) -> None:
    assert_equal(tensors(one), tensors(other))
    clock = ("seconds", "samples_per_second")
    first, second = (
        [{key: value for key, value in row.items() if key not in clock} for row in rundir.read_metrics(path)]
        for path in (one, other)
    )
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("portion", [1, 5])
@pytest.mark.parametrize(
    "overrides", [(), ("average=swa", "average.start_fraction=0.3"), ("loop.max_steps=7", "loop.epochs=null")]
)
def test_a_stop_in_an_evaluation_ends_it_and_repeats_it_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portion: int, overrides: tuple[str, ...]
) -> None:
    chosen = ("loop.eval_batch_size=4", *overrides)
    session.begin(settings(*chosen), [], tmp_path / "whole")
    with monkeypatch.context() as patched:
        whole, calls = loop.StopRequest.check, [0]

        def check(self: loop.StopRequest) -> None:
            calls[0] += 1
            self.received = 2 if calls[0] == portion else None
            whole(self)

        patched.setattr(loop.StopRequest, "check", check)
        with pytest.raises(Interrupted, match="stopped at step 7"):
            session.begin(settings(*chosen), [], tmp_path / "cut")
    assert calls[0] == portion
    assert rundir.read_metrics(tmp_path / "cut") == []
    session.resume(settings(*chosen), [], tmp_path / "cut")
    assert_same_records(tmp_path / "cut", tmp_path / "whole")
