"""Checkpoints of earlier versions: their states say less, and their runs end with the same bits."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.train.test_exact import bits
from tests.train.test_resume import timeless
from tests.train.test_stops import Stop, load, session_of
from trainctl.finished.open import open as open_run
from trainctl.finished.verify import verify
from trainctl.store import manifest, restore, rundir
from trainctl.train import session

WORDS = ("schedule=cosine", "loop.eval_every_steps=3", "average=ema", "early_stopping=patience", "checkpoint.keep=2")


def rewrite(directory: Path, *, flag: bool) -> list[dict[str, Any]]:
    """Make every checkpoint one of an earlier version: with ``pending``, or without that, too."""
    states = []
    for path in (found.path for found in manifest.all_paths(directory)):
        content = json.loads(path.read_text())
        state = content["state"]
        pending = state.pop("evaluated") < state["step"] and state["step"] % 3 == 0
        del state["evaluated_seconds"], state["position"]
        states.append(state | ({"pending": pending} if flag else {}))
        content["state"] = states[-1]
        path.write_text(json.dumps(content | {"sha256": manifest.checksum(content)}))
    return states


@pytest.mark.parametrize(
    ("stop", "pending"),
    [(Stop("portion", 2, False), True), (Stop("portion", 4, False), True), (Stop("stop_at_step", 5, False), False),
     (Stop("stop_at_step", 6, False), False)],
    ids=repr,
)  # fmt: skip
def test_a_state_that_says_whether_an_evaluation_is_pending_goes_on_exactly(
    tmp_path: Path, stop: Stop, pending: bool
) -> None:
    chosen = load(WORDS)
    session.begin(chosen, [], tmp_path / "whole")
    session_of(tmp_path / "cut", chosen, stop)
    assert [state["pending"] for state in rewrite(tmp_path / "cut", flag=True)][-1] is pending

    session.resume(chosen, [], tmp_path / "cut")

    assert bits(tmp_path / "cut") == bits(tmp_path / "whole")
    assert timeless(rundir.read_metrics(tmp_path / "cut")) == timeless(rundir.read_metrics(tmp_path / "whole"))
    assert verify(open_run(tmp_path / "cut", [], [], []), "start", None).difference == ""


def test_a_state_of_before_that_goes_on_exactly_where_nothing_is_pending(tmp_path: Path) -> None:
    chosen = load(WORDS)
    session.begin(chosen, [], tmp_path / "whole")
    session_of(tmp_path / "cut", chosen, Stop("stop_at_step", 5, kill=False))
    rewrite(tmp_path / "cut", flag=False)
    assert restore.newest(tmp_path / "cut").manifest.evaluated == 5

    session.resume(chosen, [], tmp_path / "cut")

    assert bits(tmp_path / "cut") == bits(tmp_path / "whole")


def test_a_run_of_an_earlier_version_is_verified(tmp_path: Path) -> None:
    chosen = load(WORDS)
    session.begin(chosen, [], tmp_path / "run")
    rewrite(tmp_path / "run", flag=True)
    assert verify(open_run(tmp_path / "run", [], [], []), "oldest", None).difference == ""
