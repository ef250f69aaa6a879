"""Whatever happens to a trial is a row with its reason; the others go on, with the bits that they have alone."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from trainctl.errors import Interrupted, StorageError
from trainctl.machine import identity
from trainctl.settings import compose
from trainctl.settings.code_digest import own_code
from trainctl.store import lock, restore, rundir, runpath
from trainctl.sweep import crew, opening, run, study
from trainctl.sweep.live import Watcher
from trainctl.sweep.nursery import Nursery
from trainctl.sweep.pool import Pool
from trainctl.sweep.sampler import Sampler
from trainctl.sweep.trial import Trial
from trainctl.train import session

TINY = ("dataset=iris", "model=mlp", "model.hidden=[5]", "loop.batch_size=40", "loop.epochs=2")
FAULTY = '''"""Ends its process, or its trial, in one of many ways."""
import ctypes, os, pathlib, signal, subprocess, sys, time


def {name}(*, maximize: bool):
    """Stop in a way of its own."""
    {first}
    def update(state, value, epoch, seconds):
        {line}
        return state
    return update
'''
FORSAKE = "pathlib.Path('forsaken').write_text(str(subprocess.Popen(['sleep', '9999']).pid))"
FIRST = {"terminated": "os.kill(os.getpid(), signal.SIGTERM)"}  # before the first step
FAULTS = {
    "raises": ("raise ZeroDivisionError('a bug')", "ZeroDivisionError: a bug"),
    "exits": ("sys.exit(0)", "called sys.exit(0)"),
    "leaves": ("os._exit(3)", "exited with code 3"),
    "segfaults": ("ctypes.string_at(0)", "ended by signal SIGSEGV"),
    "aborts": ("os.abort()", "ended by signal SIGABRT"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "ended by signal SIGKILL, probably for lack of memory"),
    "hangs": ("time.sleep(999)", "took no step for sweep.trial_timeout=4s"),
    "terminated": ("", "ended by SIGTERM, before it took a step"),
    "forsakes": (f"{FORSAKE}; os._exit(3)", "exited with code 3"),
    "exhausts": ("raise MemoryError", "out of memory"),
}


class Silent(Watcher):
    """A watcher that only counts."""

    def __init__(self, on_end: Callable[[Trial], None] = lambda trial: None) -> None:
        self.begun: list[tuple[str, bool]] = []
        self.steps: list[int] = []
        self.on_end = on_end

    def started(self, trial: Trial, step: int = 0) -> None:
        self.steps.append(step)
        self.begun.append((trial.directory.name, trial.directory.exists()))

    def ended(self, trial: Trial) -> None:
        self.on_end(trial)


def sweep(*words: str, display: Silent | None = None) -> tuple[study.Study, Silent, str]:
    """Run a sweep in the working directory."""
    return ran(opening.begin([*TINY, *words]), display)


def ran(opened: study.Study, display: Silent | None = None) -> tuple[study.Study, Silent, str]:
    shown = display or Silent()
    reason = Pool(opened, shown, Sampler(opened).more, lambda: run.confirm(opened)).run()
    return opened, shown, reason


def runs(pid: str) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout.strip()
    return state != "" and not state.startswith("Z")


def bits(directory: Path) -> dict[str, Any]:
    saved = restore.newest(directory)
    return saved.tensors("last") | saved.tensors("best")


def same(one: Path, other: Path) -> bool:
    before, now = bits(one), bits(other)
    return before.keys() == now.keys() and all(torch.equal(before[key], now[key]) for key in before)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Return a nursery that all sweeps of this module share: starting one takes seconds of imports."""
    shared = Shared(None)
    yield shared
    Nursery.close(shared)


class Shared(Nursery):
    """A nursery that is started by the first sweep, and outlives it."""

    def start(
        self, workers: int | str, trees: list[dict[str, Any]], meanwhile: Callable[[], None] = lambda: None
    ) -> int:
        if self.channel is None or not self.channel.open:
            super().start(workers, [])
        return workers if isinstance(workers, int) else 2

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def _shared_nursery(nursery: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(study: study.Study) -> Nursery:
        nursery.study = study
        return nursery

    monkeypatch.setattr(crew, "Nursery", of)


@pytest.fixture
def faulty(tmp_path: Path) -> str:
    """Write a component for each fault, and return the name of their package."""
    for name, (line, _) in FAULTS.items():
        for path, text in (
            (
                tmp_path / "faulty" / "early_stopping" / f"{name}.py",
                FAULTY.format(name=name, first=FIRST.get(name, ""), line=line),
            ),
            (tmp_path / "conf" / "early_stopping" / f"{name}.yaml", f"name: {name}\n"),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return "faulty"


@pytest.mark.slow
def test_every_kind_of_end_is_a_row_with_its_reason_and_the_others_go_on(faulty: str, tmp_path: Path) -> None:
    points = f"early_stopping={','.join(['none', *FAULTS])}"
    opened, _, _ = sweep(f"components=[{faulty}]", points, "sweep.workers=2", "sweep.trial_timeout=4s")
    reasons = {
        trial.words[0].partition("=")[2]: (trial.status, trial.reason) for trial in opened.ledger.trials.values()
    }
    assert reasons.pop("none") == ("finished", "completed all 2 epochs")
    for name, (_, expected) in FAULTS.items():
        status, reason = reasons[name]
        assert status == "failed", name
        assert expected in reason, name
    assert not runs((tmp_path / "forsaken").read_text())  # what a component started ends with its trial
    log = next(trial.log for trial in opened.ledger.trials.values() if trial.words[0].endswith("raises"))
    assert "Traceback" in log.read_text()
    assert "faulty/early_stopping/raises.py" in log.read_text()

    # Resumed, what failed is tried again from its checkpoint, and what has finished is not.
    fixed = tmp_path / "faulty" / "early_stopping" / "leaves.py"
    fixed.write_text(fixed.read_text().replace("os._exit(3)", "pass"))
    record = rundir.read_json(opened.home / "sweep.json")
    rundir.write_json(opened.home / "sweep.json", record | {"own_code": own_code((faulty,))})
    again = opening.reopen(opened.home, ["sweep.on_error=stop", "sweep.workers=1"], [faulty])
    run.try_again(again)
    _, shown, reason = ran(again)
    assert reason == "a trial failed, and sweep.on_error=stop"
    assert all(continues for _, continues in shown.begun)
    assert "none" not in {name.partition("=")[2] for name, _ in shown.begun}


@pytest.mark.slow
def test_a_trial_has_the_bits_that_it_has_alone_whatever_the_workers_and_pruning(tmp_path: Path) -> None:
    words = ("optimizer.lr=0.01,0.003,0.03", "sweep.threads=1", "average=ema", "model.dropout=0.2", "loop.epochs=3")
    many, *_ = sweep(*words, "sweep.workers=3", "sweep.name=many")
    halved, *_ = sweep(
        *words, "sweep.workers=1", "sweep.name=halved", "sweep.prune=asha", "sweep.rungs=[1,2]", "sweep.finalists=3"
    )
    for number, trial in enumerate(many.ledger.trials.values()):
        alone = tmp_path / f"alone{number}"
        own = [word for word in many.words_of(trial) if not word.startswith("output.plots")]
        session.begin(compose.compose([*own, "output.plots=false"]), [], alone)
        assert same(trial.directory, alone)
        other = halved.ledger.trials[str(trial.point)]
        assert other.status == "finished"
        assert same(other.directory, alone)
    assert any(segment > 0 for segment in halved.ledger.segments.values())  # they were paused and continued


@pytest.mark.slow
def test_a_sweep_that_is_interrupted_continues_and_grows(tmp_path: Path) -> None:
    def interrupt(trial: Trial) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # Ctrl-C is ignored where the tests run in the background

    words = ("optimizer.lr=0.01,0.003,0.03", "sweep.name=grows", "sweep.workers=1")
    with pytest.raises(Exception, match="the sweep was stopped"):
        sweep(*words, display=Silent(interrupt))
    before = {
        path.parent.name: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "grows").glob("*/summary.json")
    }
    opened, shown, _ = sweep("optimizer.lr=0.01,0.003,0.03,0.1", "sweep.name=grows", "sweep.workers=2", "sweep.seeds=2")
    assert len(opened.ledger.trials) == 8  # seed 0 is what the first command had
    assert {trial.status for trial in opened.ledger.trials.values()} == {"finished"}
    assert "0-optimizer.lr=0.01" not in {name for name, _ in shown.begun}
    assert len(before) in (1, 2)
    assert all(
        (tmp_path / "runs" / "grows" / name / "summary.json").stat().st_mtime_ns == stamp
        for name, stamp in before.items()
    )


@pytest.mark.slow
def test_the_pool_ends_without_orphans_when_it_is_killed_and_another_takes_over(
    tmp_path: Path, start: Callable[..., Any]
) -> None:
    process = start("-m", *TINY, "optimizer.lr=0.01,0.003", "loop.epochs=400", "sweep.name=dies", "sweep.workers=2")
    home = tmp_path / "runs" / "dies"
    deadline = time.monotonic() + 60
    while len(list(home.glob("*/checkpoints/step-*.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate(60)
    opened, shown, _ = ran(opening.reopen(home))
    assert {trial.status for trial in opened.ledger.trials.values()} == {"finished"}
    assert all(continues for _, continues in shown.begun)


def test_a_second_ctrl_c_says_how_the_sweep_is_continued_and_that_continues_at_the_checkpoint(tmp_path: Path) -> None:
    def interrupt(trial: Trial) -> None:
        raise KeyboardInterrupt

    words = ("optimizer.lr=0.01,0.003", "sweep.workers=1", "sweep.name=s", "checkpoint.every_seconds=0")
    with pytest.raises(Interrupted, match=r"saved in these seconds; continue it with: trainctl resume .*/?s$"):
        sweep(*words, display=Silent(interrupt))
    home = tmp_path / "runs" / "s"
    (journal,) = (home / "journal").glob("*.jsonl")  # as if it had not been heard of the end
    lines = [line for line in journal.read_text().splitlines(keepends=True) if '"event": "end"' not in line]
    journal.write_text("".join(lines))
    _, shown, _ = ran(opening.reopen(home))
    assert shown.steps == [6, 0]


@pytest.mark.parametrize("lease", ["1s", "60s"])
def test_a_trial_that_a_process_here_still_saves_holds_up_no_other_and_is_taken_over_after_the_lease(
    lease: str, tmp_path: Path
) -> None:
    opened = opening.begin(
        [*TINY, "optimizer.lr=0.01,0.003", f"sweep.lease={lease}", "sweep.workers=1", "sweep.name=s"]
    )
    dead = opened.journal.writer()
    assert opened.journal.claim("0", 0, dead)
    dead.close()  # its pool has ended, and its worker, which was stopped, has not
    directory = tmp_path / "runs" / "s" / "0-optimizer.lr=0.01"
    directory.mkdir()
    with subprocess.Popen(["sleep", "99"]) as worker:
        mine, _ = lock.take(directory)
        held = asdict(mine) | {"pid": worker.pid, "started": identity.started(worker.pid)}
        (directory / "lock.json").write_text(json.dumps(held))
        _, shown, _ = ran(opened, Silent(lambda trial: worker.kill() if lease == "60s" and trial.point == 1 else None))
        worker.kill()
    assert [name for name, _ in shown.begun] == ["1-optimizer.lr=0.003", "0-optimizer.lr=0.01"]
    assert {trial.status for trial in opened.ledger.trials.values()} == {"finished"}
    assert (tmp_path / "runs" / "s" / "lost" / "0-optimizer.lr=0.01.1").exists()


def test_all_trials_that_stop_as_planned_end_the_sweep_like_a_run_even_without_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(trials: object, monitor: str, home: runpath.RunPath) -> None:
        (home.path / "results.csv").write_text("results of before\n")
        raise StorageError("no space left")

    monkeypatch.setattr(run.results_csv, "write_csv", failing)
    with pytest.raises(Interrupted, match="all 2 trials stopped"):
        run.run(opening.begin([*TINY, "seed=0,1", "loop.stop_at_step=1", "output.plots=false", "sweep.prune=median"]))
    printed = capsys.readouterr()
    assert "1 point, 2 trials" in printed.out
    assert "note: sweep.prune=median has no effect: it compares trials after 3 epochs first" in printed.out
    assert "note: the newest results are not in results.csv: no space left" in printed.err
