"""How a session ends: on the best weights, which the run itself does not keep."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from trainctl.errors import Advice, ConfigError, StorageError
from trainctl.report import plots, reporters
from trainctl.run import assemble
from trainctl.run.reporter import MultiReporter
from trainctl.run.run import Run
from trainctl.settings import compose
from trainctl.store import rundir
from trainctl.train import best, conclusion, loop, session

TINY = ("dataset=iris", "model=linear", "loop.epochs=3", "output.plots=false", "optimizer.lr=0.1")


@pytest.fixture(params=["average=none", "average=ema"])
def trained(tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    run = assemble.assemble(compose.compose([*TINY, request.param]))
    loop.train(run, tmp_path, MultiReporter())
    for weight in run.average.model.parameters():  # as after a last step that made it worse
        weight.data.add_(1.0)
    return run


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in run.average.model.state_dict().items()}


def test_the_best_weights_are_tested_and_the_run_keeps_its_own(trained: Run, tmp_path: Path) -> None:
    before = weights(trained)

    summary = conclusion.finish(trained, tmp_path, MultiReporter(), "done")

    after = weights(trained)
    assert all(torch.equal(after[key], value) for key, value in before.items())
    trained.average.model.load_state_dict(trained.state.best_weights)
    tested = conclusion.evaluate(trained.evaluation, "test")
    assert {key: value for key, value in summary["metrics"].items() if key.startswith("test/")} == tested


def test_the_run_keeps_its_own_weights_if_testing_fails(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    before = weights(trained)
    monkeypatch.setattr(best, "evaluate", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        conclusion.finish(trained, tmp_path, MultiReporter(), "done")
    assert all(torch.equal(weights(trained)[key], value) for key, value in before.items())


def test_a_summary_follows_from_the_run_alone(trained: Run, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    state = dict(vars(trained.state))

    summary = conclusion.summarize(trained, "stopped", "why", {"val/loss": 0.5, "val/r2": float("nan")})

    assert (summary["outcome"], summary["reason"], summary["metrics"]) == ("stopped", "why", {"val/loss": 0.5})
    assert vars(trained.state) == state
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


class Terminal:
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@pytest.mark.parametrize(
    ("terminal", "term", "kind"),
    [(False, "xterm", "Plain"), (True, "xterm", "Console"), (True, "dumb", "Plain")],
)
def test_a_terminal_gets_the_live_view_and_anything_else_plain_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, kind: str
) -> None:
    run = assemble.assemble(compose.compose([*TINY]))
    monkeypatch.setitem(os.environ, "TERM", term)
    if terminal:
        monkeypatch.setattr("sys.stdout", Terminal(reporters.sys.stdout))
    chosen = reporters.on_terminal(run, tmp_path)
    assert isinstance(chosen, MultiReporter)
    assert [type(reporter).__name__ for reporter in chosen.reporters] == ["Files", kind]
    assert rundir.read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    "raised", [ValueError("Key backend: 'Qt4Agg'"), MemoryError(), StorageError("x: full"), ImportError("no")]
)
def test_plots_that_cannot_be_drawn_are_a_note_and_the_summary_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def fail(*_: object) -> None:
        assert rundir.read_json(tmp_path / "run" / "summary.json")["outcome"] == "finished"
        raise raised

    monkeypatch.setattr(plots, "curves", fail)
    with pytest.warns(Advice, match="the plots are incomplete"):
        summary = session.begin(compose.compose([*TINY, "output.plots=true"]), [], tmp_path / "run")
    assert rundir.read_json(tmp_path / "run" / "summary.json") == summary


def test_ctrl_c_while_plots_are_drawn_leaves_a_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "curves", interrupt)
    with pytest.raises(KeyboardInterrupt):
        session.begin(compose.compose([*TINY, "output.plots=true"]), [], tmp_path / "run")
    assert rundir.read_json(tmp_path / "run" / "summary.json")["outcome"] == "finished"


def test_a_component_that_exits_is_a_bug_with_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*_: object, **__: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(session.loop, "train", leave)
    with pytest.raises(ConfigError, match=r"called sys.exit\(0\) during the run"):
        session.begin(compose.compose(TINY), [], tmp_path / "run")
    assert rundir.read_json(tmp_path / "run" / "summary.json")["outcome"] == "failed"
