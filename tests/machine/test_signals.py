"""Signals: wherever they come, what was learnt is saved, the exit code says which one it was, and resuming is exact."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.test_training import Command, Start, load, only_run, wait_for_epoch
from trainctl import cli
from trainctl.machine import signals
from trainctl.report import reporters
from trainctl.store import checkpoint, manifest, restore, rundir, tensors
from trainctl.train import best, conclusion, evaluation, loop, provenance, session, together

QUICK = ("dataset=iris", "loop.epochs=2", "loop.eval_batch_size=8", "checkpoint.every_seconds=0")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Undo what a process that leaves does: it hears no more signals."""
    before = {number: signal.getsignal(number) for number in signals.STOP}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's job in the background, or a test before
        signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(sys, "argv", ["trainctl", *arguments])
    return cli.main()


def signal_at(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, number: int, calls: int = 1) -> list[int]:
    """Have a function of a module send a signal to this process at one of its calls, before it does its work."""
    whole, left = getattr(place, name), [calls]

    def signalled(*given: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(number)
        return whole(*given, **named)

    monkeypatch.setattr(place, name, signalled)
    return left


def records(run: Path) -> tuple[Any, ...]:
    clock = ("seconds", "samples_per_second")
    rows = [{key: value for key, value in row.items() if key not in clock} for row in rundir.read_metrics(run)]
    summary = load(run / "summary.json")
    return rows, summary["metrics"], summary["best"], summary["outcome"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainctl.settings import compose

    path = tmp_path_factory.mktemp("undisturbed") / "run"
    session.begin(compose.compose([*QUICK, "output.plots=false"]), [], path)
    return path


# Where a signal comes: module, function, at which of its calls.
PLACES = {
    "step": (loop, "set_learning_rate", 2),
    "evaluation": (loop, "evaluate", 1),
    "last evaluation": (loop, "evaluate", 2),
    "save": (tensors, "write", 3),  # the first are those of the empty run
    "manifest": (manifest, "checksum", 3),
    "last save": (tensors, "write", 5),
    "final test": (best, "evaluate", 1),
    "inside the final test": (evaluation, "scaled", 9),
    "confusion": (best, "confusion", 1),
    "plots": (conclusion, "draw", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "number"),
    [*((place, signal.SIGTERM) for place in PLACES), ("evaluation", signal.SIGINT), ("final test", signal.SIGINT)],
)
def test_a_signal_at_any_point_saves_and_resuming_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Path, place: str, number: int
) -> None:
    module, name, call = PLACES[place]
    with monkeypatch.context() as patched:
        patched.setattr(conclusion, "draw", lambda *given: None)
        left = signal_at(patched, module, name, number, call)
        code = main(patched, *QUICK)
    assert left[0] <= 0, "the signal was never sent"
    outcome = {signal.SIGTERM: (143, "terminated"), signal.SIGINT: (130, "interrupted")}[signal.Signals(number)]
    if place == "plots":  # they are drawn after the summary
        outcome = (outcome[0], "finished")
    run = only_run(tmp_path)
    assert (code, load(run / "summary.json")["outcome"]) == outcome
    assert restore.newest(run)

    with monkeypatch.context() as patched:
        patched.setattr(conclusion, "draw", lambda *given: None)
        assert main(patched, "resume") == 0
    assert records(run) == records(undisturbed)
    last = [restore.newest(path).tensors("last") for path in (run, undisturbed)]
    assert all(torch.equal(value, last[1][key]) for key, value in last[0].items())


@pytest.mark.parametrize(
    "place",
    [(together.assemble, "assemble"), (provenance, "run_json"), (reporters, "on_terminal")],
    ids=lambda place: place[1],
)
def test_a_signal_before_the_first_step_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: tuple[Any, str]
) -> None:
    signal_at(monkeypatch, *place, signal.SIGTERM)
    assert main(monkeypatch, *QUICK) == 143
    assert capsys.readouterr().err == "trainctl: terminated; everything saved so far is intact\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) != signals.ExitImmediately._handle


def test_a_second_ctrl_c_leaves_at_once_and_the_checkpoint_before_is_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signal_at(monkeypatch, loop, "set_learning_rate", signal.SIGINT, 2)
    signal_at(monkeypatch, manifest, "checksum", signal.SIGINT, 3)  # while that is saved
    assert main(monkeypatch, *QUICK) == 130
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # a third one finds nothing to interrupt
    assert "interrupted; everything saved so far is intact" in capsys.readouterr().err
    assert restore.newest(only_run(tmp_path)).manifest.step == 0


def test_sigterm_twice_is_sigterm_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_at(monkeypatch, loop, "set_learning_rate", signal.SIGTERM, 2)
    signal_at(monkeypatch, manifest, "checksum", signal.SIGTERM, 3)
    assert main(monkeypatch, *QUICK) == 143
    assert restore.newest(only_run(tmp_path)).manifest.step == 2


def test_sigusr1_saves_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Path) -> None:
    saved: list[int] = []
    whole = checkpoint.save

    def save(run: Any, *given: Any) -> None:
        saved.append(run.state.step)
        whole(run, *given)

    monkeypatch.setattr(checkpoint, "save", save)
    signal_at(monkeypatch, loop, "set_learning_rate", signal.SIGUSR1, 2)
    assert main(monkeypatch, *QUICK, "output.plots=false") == 0
    assert saved[:2] == [0, 2]
    assert records(only_run(tmp_path)) == records(undisturbed)


@pytest.mark.skipif(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="started by nohup, which is respected")
def test_a_hangup_is_like_sigterm_and_a_pause_changes_nothing(start: Start, tmp_path: Path) -> None:
    process = start("dataset=iris", "loop.epochs=100000", "output.plots=false", "threads=1")
    wait_for_epoch(process)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "resume with: trainctl resume" in err
    assert load(only_run(tmp_path) / "summary.json")["outcome"] == "terminated"


@pytest.mark.parametrize(
    ("more", "code", "outcome"),
    [((), 0, "finished"), (("optimizer=sgd", "optimizer.lr=1e30", "model.norm=none"), 6, "failed")],
)
def test_readers_that_go_away_change_neither_training_nor_exit_code(
    start: Start, tmp_path: Path, more: tuple[str, ...], code: int, outcome: str
) -> None:
    process = start("dataset=iris", "output.plots=false", *more)
    assert process.stdout
    process.stdout.readline()
    for stream in (process.stdout, process.stderr):  # 2>&1 | head -1
        stream.close()
    process.stdout, process.stderr = None, Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - closed by communicate
    process.communicate(timeout=60)
    assert process.returncode == code
    assert load(only_run(tmp_path) / "summary.json")["outcome"] == outcome
    assert outcome in (only_run(tmp_path) / "log.txt").read_text()


def test_a_clock_that_goes_backwards_disturbs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = [2e9]

    def back() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", back)
    for _ in range(2):
        assert main(monkeypatch, *QUICK, "output.plots=false") == 0
    runs = [path for path in (tmp_path / "runs").iterdir() if path.is_dir()]
    assert len(runs) == 2
    for run in runs:
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        seconds = [row["seconds"] for row in rows if "seconds" in row]
        assert seconds == sorted(seconds)
        assert min(seconds) >= 0


def test_errors_reach_the_exit_code_when_nobody_reads_them(command: Command) -> None:
    assert command("optimizr=adam").returncode == 2
