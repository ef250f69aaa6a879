"""Every number that a run carries from step to step is saved: at every stop, and found by walking through all of it."""

import itertools
import random
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import soak
from tests.train.test_resume import timeless
from trainctl.components.model.base import ByteDropout
from trainctl.errors import Interrupted
from trainctl.finished.bitwise import EXACT
from trainctl.finished.verify import RecordedEvaluations
from trainctl.machine import device
from trainctl.run import assemble
from trainctl.run.rate import learning_rate
from trainctl.run.reporter import MultiReporter
from trainctl.run.run import Run
from trainctl.run.state import TrainState
from trainctl.settings import compose, config
from trainctl.step import eager as step
from trainctl.store import checkpoint, restore, rundir
from trainctl.train import loop, session
from trainctl.train.snapshot import Snapshot

# 106 rows in batches of 40: 3 steps an epoch, 9 in all.
TINY = (
    "dataset=iris",
    "model=mlp",
    "model.hidden=[5]",
    "loop.batch_size=40",
    "loop.epochs=3",
    "output.plots=false",
    "threads=1",
)
WAYS = {
    "plateau-ema-early-stopping": (
        "model.dropout=0.2", "optimizer=adam", "average=ema", "schedule=plateau", "schedule.patience=0", "schedule.threshold=9",
        "early_stopping=patience", "early_stopping.patience=9", "loop.micro_batches=3", "loop.eval_every_steps=2",
    ),
    "one_cycle-swa-eager": (
        "model.norm=batch", "optimizer=sgd", "schedule=one_cycle", "average=swa", "average.start_fraction=0.2",
        "average.every_steps=1", "loop.record=never", "loop.micro_batches=2",
    ),
    "mixed-and-augmented": ("augment=[noise,mixup]", "optimizer=adamw", "regularizer=[l1,max_norm]", "loop.clip_norm=0.5"),
}  # fmt: skip
IDS = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def settings(*overrides: str) -> config.Config:
    return compose.compose([*TINY, *overrides])


def until(chosen: config.Config, step: int | None) -> config.Config:
    return replace(chosen, loop=replace(chosen.loop, stop_at_step=step))


def bits(directory: Path) -> dict[str, bytes]:
    """Return every tensor of the newest checkpoint, and its numbers, byte for byte."""
    saved = restore.newest(directory)
    tensors = saved.tensors("last") | {f"best {key}": value for key, value in saved.tensors("best").items()}
    numbers = saved.manifest.state | {"seconds": 0, "evaluated_seconds": 0, "optimizer": saved.manifest.optimizer}
    return {key: value.numpy().tobytes() for key, value in tensors.items()} | {"state": repr(numbers).encode()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that trains without a stop, once for all cuts; nothing writes into what it returns."""

    @cache
    def train(*way: str) -> Path:
        directory = tmp_path_factory.mktemp("whole") / "whole"
        assert session.begin(settings(*way), [], directory)["steps"] == 9
        return directory

    return train


@pytest.mark.soak
@pytest.mark.parametrize("way", list(WAYS.values())[:2], ids=list(WAYS)[:2])
def test_a_stop_at_any_step_changes_no_bit_and_no_line(
    tmp_path: Path, whole: Callable[..., Path], way: tuple[str, ...]
) -> None:
    chosen = settings(*way)
    for cut in soak.some(way, range(1, 9), 3):
        with pytest.raises(Interrupted):
            session.begin(until(chosen, cut), [], tmp_path / str(cut))
        session.resume(chosen, [], tmp_path / str(cut))
        assert bits(tmp_path / str(cut)) == bits(whole(*way)), cut
        assert timeless(rundir.read_metrics(tmp_path / str(cut))) == timeless(rundir.read_metrics(whole(*way))), cut


@IDS
def test_a_stop_at_every_step_changes_no_bit_and_no_line(
    tmp_path: Path, whole: Callable[..., Path], way: tuple[str, ...]
) -> None:
    chosen = settings(*way)
    with pytest.raises(Interrupted):
        session.begin(until(chosen, 1), [], tmp_path / "cut")
    for cut in range(2, 9):
        with pytest.raises(Interrupted):
            session.resume(until(chosen, cut), [], tmp_path / "cut")
    session.resume(chosen, [], tmp_path / "cut")

    assert bits(tmp_path / "cut") == bits(whole(*way))
    assert timeless(rundir.read_metrics(tmp_path / "cut")) == timeless(rundir.read_metrics(whole(*way)))


def test_a_run_stopped_with_recorded_steps_goes_on_with_eager_ones(tmp_path: Path, whole: Callable[..., Path]) -> None:
    way = WAYS["plateau-ema-early-stopping"]
    with pytest.raises(Interrupted):
        session.begin(until(settings(*way), 5), [], tmp_path / "cut")
    after = settings(*way, "loop.record=never")
    session.resume(replace(after, tree=settings(*way).tree), [], tmp_path / "cut")

    assert bits(tmp_path / "cut") == bits(whole(*way))


class Killed(BaseException):
    """What kill -9 does: nothing more happens."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_metrics_hold_every_step_once_when_killed_beside_any_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    chosen = settings("loop.eval_every_steps=1", "checkpoint.every_seconds=0", "loop.epochs=1")
    session.begin(chosen, [], tmp_path / "whole")
    save = checkpoint.save
    for fatal in range(2, 5):  # the first is at step 0, before which there is no run
        calls = itertools.count(1)

        def dying(*given: Any, calls: Iterator[int] = calls, fatal: int = fatal) -> None:
            now = next(calls) == fatal
            if now and moment == "before":
                raise Killed
            save(*given)
            if now:
                raise Killed

        monkeypatch.setattr(checkpoint, "save", dying)
        with pytest.raises(Killed):
            session.begin(chosen, [], tmp_path / str(fatal))
        monkeypatch.setattr(checkpoint, "save", save)
        session.resume(chosen, [], tmp_path / str(fatal))

        rows = rundir.read_metrics(tmp_path / str(fatal))
        assert [row["step"] for row in rows if "lr" in row] == [1, 2, 3]
        assert timeless(rows) == timeless(rundir.read_metrics(tmp_path / "whole"))
        assert bits(tmp_path / str(fatal)) == bits(tmp_path / "whole")


# The walk: everything that can be reached from a run, attributes, contents and what functions have closed over.
SECONDS = ("state.seconds", "state.evaluated_seconds")
ENDS = (str, bytes, type(None), type, types.ModuleType, torch.dtype, torch.device, torch.layout, Path, config.Config)
GLOBAL = "generators"


def walk(run: Run, **more: object) -> dict[str, Any]:
    """Return every tensor, generator's state and number of a run, by the path that leads to it."""
    found: dict[str, Any] = {
        GLOBAL: (torch.get_rng_state().numpy().tobytes(), random.getstate(), repr(np.random.get_state()))
    }
    seen: set[int] = set()
    waiting = [(name, value) for name, value in (vars(run) | more).items()]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, (bool, int, float)):
            found[path] = repr(value)
        elif isinstance(value, ENDS) or id(value) in seen:
            continue
        else:
            seen.add(id(value))
            if (leaf := content(value)) is not None:
                found[path] = leaf
            waiting += [(f"{path}.{name}", part) for name, part in parts(value)]
    return found


def content(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.detach().cpu().numpy().tobytes())
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    return repr(value) if isinstance(value, np.ndarray | np.generic) else None


def parts(value: Any) -> Iterator[tuple[str, object]]:
    """Yield what an object consists of."""
    if isinstance(value, torch.Tensor):
        if value.requires_grad and value.grad is not None:
            yield "grad", value.grad
        return
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield (str(key) if isinstance(key, str | int) else f"item {hash(content(key))}"), part
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((str(index), part) for index, part in enumerate(value))
    elif isinstance(value, types.FunctionType):
        names = value.__code__.co_freevars
        yield from (
            (name, cell.cell_contents)
            for name, cell in zip(names, value.__closure__ or (), strict=True)
            if cell != types.CellType()
        )
        yield from ((f"default {index}", part) for index, part in enumerate(value.__defaults__ or ()))
    elif isinstance(value, types.MethodType):
        yield "self", value.__self__
    for name, part in getattr(value, "__dict__", {}).items():
        scratch = isinstance(value, ByteDropout) and name == "draws"  # filled anew before it is read
        if not (name.startswith("__") or scratch):
            yield name, part


def take(run: Run, steps: int) -> None:
    """Take steps as the loop does, and look after every fourth."""
    act, clock, quiet = step.eager(run), loop.Clock(run), RecordedEvaluations({}, EXACT)
    quiet.evaluation = lambda row: None
    for batch in itertools.islice(run.order.batches(run.state.step), steps):
        loop.set_learning_rate(run)
        act(*batch)
        run.state.step += 1
        if run.state.step % 4 == 0:
            loop.look(run, quiet, clock)


def differences(chosen: config.Config, directory: Path, spoil: Callable[[Run], object]) -> list[str]:
    """Return what is not the same after one more step, in a run that went on and in one that was restored and spoilt."""
    directory.mkdir()
    run = assemble.assemble(chosen)
    take(run, 5)
    random.random(), np.random.random()
    generators = device.random_states(run.device)
    checkpoint.save(run, directory)
    other = assemble.assemble(chosen)
    restore.restore(other, restore.newest(directory))
    spoil(other)
    take(other, 1)
    after = walk(other)
    device.restore_random_states(generators, run.device)
    take(run, 1)
    before = walk(run)
    assert {"state.step", "optimizer.param_groups.0.lr", GLOBAL} <= before.keys()
    assert sum(isinstance(leaf, tuple) for leaf in before.values()) > 20  # tensors
    differing = (path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return sorted(path for path in differing if path not in SECONDS)


@IDS
def test_all_that_changes_in_a_run_is_in_its_checkpoint(tmp_path: Path, way: tuple[str, ...]) -> None:
    assert differences(settings(*way), tmp_path / "run", lambda run: None) == []


class Counting(torch.optim.SGD):
    """An optimizer that remembers a number for each group, as those do that find their own rate."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
            group["found"] = group.get("found", 1e-6) * 1.5
        return super().step(closure)


def test_what_an_optimizer_remembers_for_a_group_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim, "SGD", Counting)
    chosen = settings("optimizer=sgd")
    assert differences(chosen, tmp_path / "run", lambda run: None) == []
    run = assemble.assemble(chosen)
    take(run, 2)
    kept, before = Snapshot(run), walk(run)
    take(run, 1)
    assert run.optimizer.param_groups[0]["count"] == 3
    kept.put_back()
    assert run.optimizer.param_groups[0]["count"] == 2
    assert before["optimizer.param_groups.0.found"] == walk(run)["optimizer.param_groups.0.found"]


def zero(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.data.zero_()


def spoil_number(run: Run, name: str) -> None:
    """Set a number of the state to what it began with, or if it still is that, to another."""
    first = getattr(TrainState(), name)
    setattr(run.state, name, first if getattr(run.state, name) != first else first + 1)


SPOILT: dict[str, Callable[[Run], object]] = {
    "model": lambda run: zero(run.model),
    "average": lambda run: zero(run.average.model),
    "optimizer": lambda run: run.optimizer.state.clear(),
    "sums": lambda run: run.sums.reset(),
    "torch": lambda run: torch.manual_seed(9),
    "python": lambda run: random.seed(9),
    "numpy": lambda run: np.random.seed(9),
} | {
    name: lambda run, name=name: spoil_number(run, name)
    for name in (*checkpoint.NUMBERS, "best_weights")
    if name not in ("seconds", "evaluated_seconds", "position")  # the clock's, and what a step sets anew; see below
}


def evaluated(run: Run) -> Mapping[str, float]:
    return loop.look(run, MultiReporter(), loop.Clock(run))


@pytest.mark.parametrize(("name", "key"), [("position", "lr"), ("evaluated_seconds", "samples_per_second")])
def test_what_is_reported_of_the_steps_before_a_stop_is_saved(tmp_path: Path, name: str, key: str) -> None:
    chosen = settings("schedule=cosine", "loop.eval_every_steps=9")
    run = assemble.assemble(chosen)
    take(run, 5)
    checkpoint.save(run, tmp_path)
    row = evaluated(run)
    assert row["lr"] == learning_rate(run, 4) == run.optimizer.param_groups[0]["lr"]

    for spoilt in (False, True):
        other = assemble.assemble(chosen)
        restore.restore(other, restore.newest(tmp_path))
        if spoilt:
            spoil_number(other, name)
        assert (evaluated(other)[key] == row[key]) is not spoilt


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_the_walk_notices_whatever_is_not_restored(tmp_path: Path, spoil: Callable[[Run], object]) -> None:
    whole = "loop.micro_batches=1"  # random numbers of a part of a batch follow from the step, and from nothing saved
    assert differences(settings(*WAYS["plateau-ema-early-stopping"], whole), tmp_path / "run", spoil) != []
