"""How steps are taken is written to run.json and told once, in a new run, a resumed one, and one that is cut short."""

from pathlib import Path
from typing import Any

import pytest

from trainctl.errors import Interrupted
from trainctl.settings import compose, config
from trainctl.step import engine
from trainctl.store import rundir
from trainctl.train import loop, session

# 106 rows in batches of 40: 3 steps an epoch, 9 in all, and a last batch of another size.
PLAIN = ("dataset=iris", "loop.batch_size=40", "loop.epochs=3", "output.plots=false", "loop.record=always")


def settings(*overrides: str) -> config.Config:
    return compose.compose([*PLAIN, *overrides])


def told(directory: Path) -> list[str]:
    lines = (directory / "log.txt").read_text().splitlines()
    return [line.removeprefix("engine  ") for line in lines if line.startswith("engine")]


def written(directory: Path) -> Any:
    return rundir.read_json(directory / "run.json").get("engine")


def test_it_is_written_after_the_first_evaluation_and_again_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, look = [], loop.look
    monkeypatch.setattr(loop, "look", lambda *given: seen.append(written(tmp_path / "run")) or look(*given))
    with pytest.raises(Interrupted):
        session.begin(settings("loop.stop_at_step=6"), [], tmp_path / "run")
    assert seen == ["recorded", "recorded"]
    facts = rundir.read_json(tmp_path / "run" / "run.json")
    assert {"versions", "seed", "data"} <= facts.keys()
    monkeypatch.setattr(engine, "accelerator", lambda run: (None, "another machine"))
    session.resume(settings(), [], tmp_path / "run")
    assert seen == ["recorded", "recorded", "eager: another machine"]
    assert told(tmp_path / "run") == ["recorded", "eager: another machine"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("augment=[mixup]", "dataset=digits", "loop.batch_size=full"), "eager: rows are mixed"),
        (("loop.record=never",), "eager: loop.record=never"),
        (("loop.epochs=1", "loop.batch_size=full"), "eager: no recorded step has been checked yet"),
    ],
)
def test_why_it_is_not_the_fastest_way_is_told(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    session.begin(settings(*words), [], tmp_path / "run")
    assert written(tmp_path / "run") == expected
    assert told(tmp_path / "run") == [expected]


def test_a_recording_that_stops_giving_the_same_numbers_is_told_to_the_user_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreed = iter([True] * 3)  # at least one for each size of batch; then no more
    monkeypatch.setattr(engine, "CHECK_EVERY", 2)
    monkeypatch.setattr(engine, "agree", lambda *_: next(agreed, False))
    session.begin(settings(), [], tmp_path / "run")
    expected = "eager: the recorded step gave different results than the eager step"
    assert written(tmp_path / "run") == expected
    assert told(tmp_path / "run")[-1] == expected
    out = (tmp_path / "run" / "log.txt").read_text()
    assert out.count("the recorded step gave different results than the eager step, so steps are computed eagerly") == 1
    assert "may be affected" in out
