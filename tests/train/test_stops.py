"""A run that is stopped anywhere, as often as you like, ends like one that was not: its bits, its records, and `verify` agrees.

Schedule, interval of evaluation and kind and place of the stops vary together.
"""

import itertools
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.soak import generated
from tests.train.test_exact import TINY, bits, until
from tests.train.test_resume import timeless
from trainctl.errors import CheckpointError, ConfigError, Interrupted, Terminated
from trainctl.finished.open import open as open_run
from trainctl.finished.reproduce import reproduce
from trainctl.finished.verify import verify
from trainctl.machine import signals
from trainctl.settings import compose, config
from trainctl.store import manifest, restore, rundir, tensors
from trainctl.train import evaluation, loop, provenance, session
from trainctl.train.health import Health

SCHEDULES = (
    ("schedule=none",),
    ("schedule=cosine", "schedule.warmup_steps=2"),
    ("schedule=exponential", "schedule.gamma=0.5"),
    ("schedule=one_cycle", "optimizer=sgd"),
    ("schedule=plateau", "schedule.patience=0", "schedule.threshold=99", "schedule.factor=0.5"),
)
MORE = ((), ("average=ema", "model.dropout=0.2"), ("early_stopping=patience", "early_stopping.patience=1"))


class Stop(NamedTuple):
    """Where a session ends: at which call of what, and how."""

    place: str
    call: int
    kill: bool

    def __repr__(self) -> str:
        return f"{'killed' if self.kill else 'stopped'} at {self.place} {self.call}"


class Killed(BaseException):
    """What kill -9 does: nothing more happens."""


# What is called there: a portion is one of three of an evaluation, of the final test too.
PLACES: dict[str, tuple[Any, str]] = {
    "before step": (loop, "set_learning_rate"),
    "after step": (Health, "step"),
    "evaluation": (loop, "evaluate"),
    "portion": (evaluation, "scaled"),
    "after evaluation": (loop, "keep_best"),
    "save": (tensors, "write"),
    "manifest": (manifest, "checksum"),
}
stops = st.builds(
    Stop, st.sampled_from(sorted([*PLACES, "stop_at_step"])), st.integers(1, 12), st.booleans()
) | st.builds(Stop, st.sampled_from(["evaluation", "portion"]), st.integers(1, 7), st.just(False))


@pytest.fixture(scope="module")
def whole() -> Iterator[Callable[[tuple[str, ...]], Path]]:
    """Return a function that trains without a stop, once for all stops."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance.repository, "describe", lambda directory: None)  # half of such a run's time
        number = itertools.count()

        @cache
        def train(words: tuple[str, ...]) -> Path:
            directory = Path(folder) / str(next(number))
            session.begin(load(words), [], directory)
            return directory

        yield train


@cache
def load(words: tuple[str, ...]) -> config.Config:
    return compose.compose([*TINY, "loop.eval_batch_size=8", *words])


@contextmanager
def ending(stop: Stop) -> Iterator[None]:
    """End a session at a stop; it is caught, and the handlers of signals are as before."""
    handlers = {number: signal.getsignal(number) for number in signals.STOP}
    calls = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:
        if stop.place in PLACES:
            module, name = PLACES[stop.place]
            original = getattr(module, name)

            def called(*given: Any, **named: Any) -> Any:
                after = original(*given, **named) if stop.place.startswith("after") else None
                if next(calls) == stop.call:
                    if stop.kill:
                        raise Killed
                    signal.raise_signal(signal.SIGTERM)
                return after if stop.place.startswith("after") else original(*given, **named)

            patch.setattr(module, name, called)
        with suppress(Interrupted, Terminated, Killed, signals.Terminate), signals.ExitImmediately():
            yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def session_of(directory: Path, chosen: config.Config, stop: Stop) -> None:
    """Begin or resume a run until a stop."""
    end = until(chosen, stop.call if stop.place == "stop_at_step" else None)
    with ending(stop):
        session.resume(end, [], directory) if directory.exists() else session.begin(end, [], directory)


def accused(directory: Path) -> str:
    """Return what `verify` says against a run."""
    try:
        return verify(open_run(directory, [], [], []), "start", None).difference
    except (ConfigError, CheckpointError) as error:  # it took no step, or stopped inside its first evaluation
        return "" if "no steps to verify" in str(error) or "resume" in str(error) else str(error)


@pytest.mark.slow
@pytest.mark.soak
@generated(12)
@given(st.sampled_from(SCHEDULES), st.integers(1, 5), st.sampled_from(MORE), st.lists(stops, min_size=1, max_size=3))
@example(SCHEDULES[1], 3, (), [Stop("portion", 5, False)])
@example(SCHEDULES[0], 2, (), [Stop("after step", 1, False)])
@example(SCHEDULES[4], 2, (), [Stop("evaluation", 2, False), Stop("after evaluation", 1, True)])
@example(SCHEDULES[0], 2, (), [Stop("evaluation", 2, False), Stop("save", 2, True)])
@example(SCHEDULES[3], 2, MORE[1], [Stop("portion", 4, False), Stop("portion", 2, False), Stop("manifest", 1, True)])
def test_a_run_stopped_anywhere_ends_with_the_bits_and_records_of_one_that_was_not(
    whole: Callable[[tuple[str, ...]], Path],
    schedule: tuple[str, ...],
    every: int,
    more: tuple[str, ...],
    stops: list[Stop],
) -> None:
    words = (*schedule, f"loop.eval_every_steps={every}", *more)
    chosen, straight = load(words), whole(words)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance.repository, "describe", lambda directory: None)
        directory = Path(folder) / "run"
        for stop in stops:
            session_of(directory, chosen, stop)
            if directory.exists():
                assert accused(directory) == ""
        if directory.exists():
            session.resume(chosen, [], directory)
        else:
            session.begin(chosen, [], directory)

        assert bits(directory) == bits(straight)
        assert timeless(rundir.read_metrics(directory)) == timeless(rundir.read_metrics(straight))
        assert lines(directory) == lines(straight), "a row is there twice"
        ends = [rundir.read_json(path / "summary.json") for path in (directory, straight)]
        assert [ends[0][key] for key in ("outcome", "reason", "metrics", "best")] == [
            ends[1][key] for key in ("outcome", "reason", "metrics", "best")
        ]
        assert all(row["samples_per_second"] > 0 for row in rundir.read_metrics(directory) if "lr" in row)
        assert accused(directory) == ""


def lines(directory: Path) -> int:
    return len((directory / "metrics.jsonl").read_text().splitlines())


def test_what_verify_compares_with_is_a_run_that_can_be_accused(whole: Callable[[tuple[str, ...]], Path]) -> None:
    words = ("schedule=cosine", "loop.eval_every_steps=3")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(shutil.copytree(whole(words), Path(folder) / "run"))
        rows = rundir.read_metrics(directory)
        rows[1]["lr"] = 0.001  # what was recorded when the rate was read from the optimizer
        (directory / "metrics.jsonl").write_text("".join(map(rundir.line, rows)))
        assert "step 6: lr was 0.001" in accused(directory)


def test_a_run_stopped_in_its_first_evaluation_cannot_be_verified_yet(tmp_path: Path) -> None:
    chosen = load(("loop.eval_every_steps=3", "checkpoint.keep=2"))
    session_of(tmp_path / "run", chosen, Stop("portion", 2, kill=False))
    saved = restore.newest(tmp_path / "run").manifest
    assert (saved.step, saved.evaluated) == (3, 0)
    with pytest.raises(ConfigError, match="no steps to verify"):
        verify(open_run(tmp_path / "run", [], [], []), "start", None)


@pytest.mark.parametrize("stop", [Stop("portion", 5, False), Stop("stop_at_step", 5, False), Stop("portion", 2, True)])
def test_a_run_that_was_stopped_is_reproduced(tmp_path: Path, stop: Stop) -> None:
    session_of(
        tmp_path / "run", load(("schedule=cosine", "loop.eval_every_steps=3", "checkpoint.every_seconds=0")), stop
    )
    run = open_run(tmp_path / "run", [], [], [])
    if run.saved.manifest.step:
        assert reproduce(run, tmp_path / "again").difference == ""
    else:
        with pytest.raises(CheckpointError, match="before its first evaluation"):
            reproduce(run, tmp_path / "again")
