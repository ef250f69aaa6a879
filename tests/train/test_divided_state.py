"""Processes that divide the optimizer's state save the last step though one has failed, as long as all of them live."""

import math
import os
from pathlib import Path
from typing import Any

import pytest

from tests.together import TINY, resume, same, train
from trainctl.errors import DataError, NonFiniteError
from trainctl.step import exchange as exchange_module
from trainctl.step.exchange import Exchange
from trainctl.store import restore

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.slow]
WORDS = [*TINY, "optimizer=adam", "checkpoint.every_seconds=1000", "loop.eval_every_steps=12"]


def raise_at(step: int, rank: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process fail while it computes its parts of a step."""
    own, require = os.getpid(), Exchange._require_no_other_buffers

    def failing(exchange: Exchange) -> None:
        require(exchange)
        if exchange.run.state.step == step and exchange.run.world.rank == rank and os.getpid() != own:
            raise error

    monkeypatch.setattr(Exchange, "_require_no_other_buffers", failing)


def newest(path: Path) -> int:
    return restore.newest(path).manifest.step


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_last_step_is_saved_and_the_run_resumes_to_the_same_bits(rank, tmp_path, monkeypatch):
    train(tmp_path / "whole", 1, WORDS)
    with monkeypatch.context() as patched:
        raise_at(7, rank, DataError("no such row"), patched)
        assert train(tmp_path / "run", 3, [*WORDS, "distributed.split_state=true"])[0] == 3
    assert newest(tmp_path / "run") == 7
    resume(tmp_path / "run", 2)
    assert same(tmp_path / "whole", tmp_path / "run")


def test_a_state_that_is_not_finite_is_not_saved(tmp_path, monkeypatch):
    error, whole = DataError("no such row"), exchange_module.split_state.whole

    def spoilt(run: Any) -> Any:
        for entries in run.optimizer.state.values() if run.world.rank else ():
            entries["exp_avg_sq"].fill_(math.inf)
        return whole(run)

    raise_at(7, 1, error, monkeypatch)
    monkeypatch.setattr(exchange_module.split_state, "whole", spoilt)
    assert train(tmp_path / "run", 2, [*WORDS, "distributed.split_state=true"])[0] == 3
    assert newest(tmp_path / "run") == 0


def test_an_error_is_not_hidden_by_a_lack_of_memory_for_the_state(monkeypatch):
    def greedy(run: object) -> None:
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(exchange_module.split_state, "whole", greedy)
    failed, error = object.__new__(Exchange), DataError("no such row")
    failed.run = None  # type: ignore[assignment]
    assert failed._failure(error) is error


@pytest.mark.parametrize("rank", [0, 1])
def test_the_step_before_one_that_is_not_finite_is_saved(rank, tmp_path, monkeypatch):
    raise_at(7, rank, NonFiniteError("the loss is not finite"), monkeypatch)
    assert train(tmp_path / "run", 2, [*WORDS, "distributed.split_state=true"])[0] == 6
    assert newest(tmp_path / "run") == 7
