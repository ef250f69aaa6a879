"""A command that makes runs from runs is killed before any of its writes, or at any moment.

Then the runs that it was made from are the same byte for byte, and what is there besides is a run that ends, or that
ends with the bits of an undisturbed one when it is resumed. In `make soak`, each command is killed at more moments.
"""

import os
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import soak
from tests.faults import replace_os
from tests.finished.made_of import entries, snapshot
from tests.torture import has_checkpoint, outcome
from trainctl import cli
from trainctl.settings import compose
from trainctl.store import building, records, rundir
from trainctl.train import cost, provenance, session

pytestmark = [pytest.mark.soak, pytest.mark.slow]
SMALL = (
    "dataset=iris", "model=mlp", "model.hidden=[8]", "loop.max_steps=4", "loop.batch_size=40", "output.plots=false",
    "loop.eval_every_steps=2", "checkpoint.every_seconds=0", "loop.record=never", "threads=1", "device=cpu",
)  # fmt: skip
VERBS = {
    "finetune": ("finetune", "{one}", "model.hidden=[16]"),
    "distill": ("distill", "{one}", "{two}", "model=linear"),
    "prune": ("prune", "{one}", "amount=0.5", "rounds=2"),
    "prune without training": ("prune", "{one}", "amount=0.5", "tune=false"),
    "quantize": ("quantize", "{one}"),
    "merge": ("merge", "{one}", "{two}"),
    "ensemble": ("ensemble", "{one}", "{two}"),
    "split": ("split", "{one}", "parts=2"),
    "export": ("export", "{one}", "format=safetensors", "output=model.safetensors"),
}
TRAINING = ("finetune", "distill", "prune")
OPERATIONS = ("open", "write", "fsync", "replace", "unlink", "mkdir")


class DeadlyDisk:
    """An ``os`` whose n-th operation on files is the end of its process; a write is torn before."""

    def __init__(self, n: int) -> None:
        self.n, self.calls = n, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in OPERATIONS:
            return real

        def operation(*arguments: Any, **where: Any) -> Any:
            self.calls += 1
            if self.calls == self.n:
                if name == "write" and len(arguments[1]) > 1:
                    os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **where)

        return operation


@dataclass
class Tally:
    """What was left by how many kills."""

    kills: int = 0
    nothing: int = 0
    complete: int = 0
    resumed: int = 0
    unborn: int = 0


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("parents")
    for seed, name in enumerate(("one", "two")):
        session.begin(compose.compose([*SMALL, f"seed={seed}"]), [], root / name)
    return {name: root / name for name in ("one", "two")}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    monkeypatch.setattr(provenance.repository, "describe", lambda directory: None)


def forked(place: Path, words: tuple[str, ...], disk: DeadlyDisk | None = None, seconds: float | None = None) -> int:
    """Run a command in a child process, in its own directory, and return how it ended: -9 if it was killed.

    Args:
        place: The directory, where `operations` says how many operations the disk has done.
        words: The command's arguments.
        disk: What takes the place of ``os``.
        seconds: When it is killed; None: it is not.
    """
    place.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.chdir(place)
            printed = os.open("printed.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for number in (1, 2):
                os.dup2(printed, number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
            sys.argv = ["trainctl", *words]
            if disk is not None:
                replace_os(pytest.MonkeyPatch(), disk)
            code = cli.main()
            if disk is not None:
                Path("operations").write_text(str(disk.calls))
        finally:
            os._exit(code)
    killer = threading.Timer(seconds, os.kill, (child, signal.SIGKILL)) if seconds is not None else None
    if killer:
        killer.start()
    _, status = os.waitpid(child, 0)
    if killer:
        killer.cancel()
    return os.waitstatus_to_exitcode(status)


def part_of(run: Path) -> str:
    found = re.search(r"part-\d|round-\d", run.name)
    return found[0] if found else ""


def results(place: Path) -> dict[str, Any]:
    return {part_of(run): outcome(run) for run in rundir.all_runs(place / "runs")}


def examine(verb: str, place: Path, whole: dict[str, Any], exported: bytes, tally: Tally) -> None:
    """Check what a killed command has left, and let it end if it can."""
    tally.kills += 1
    if verb == "export":
        file = place / "model.safetensors"
        assert not file.exists() or file.read_bytes() == exported
        tally.complete, tally.nothing = tally.complete + file.exists(), tally.nothing + (not file.exists())
        return
    runs = list(rundir.all_runs(place / "runs"))  # what `trainctl runs` lists
    tally.nothing += not runs
    for run in runs:
        if not has_checkpoint(run):
            assert verb in TRAINING
            tally.unborn += 1
            continue
        finished = rundir.read_json(run / "summary.json").get("outcome") == "finished"
        if verb in TRAINING and (not finished or (run / "lock.json").exists()):
            assert forked(place, ("resume", str(run))) == 0, (place / "printed.txt").read_text()
            tally.resumed += not finished
        tally.complete += finished
        assert records.read_summary(run).outcome == "finished"
        assert outcome(run) == whole[part_of(run)]
    there = entries(place / "runs") if (place / "runs").exists() else set()
    for name in there - {run.name for run in runs}:  # what no command takes for a run
        begun = {path.name for path in (place / "runs" / name).iterdir()}
        assert building.NAME.fullmatch(name) or (verb in TRAINING and not begun & {"config.yaml", "summary.json"}), (
            begun
        )


def undisturbed(words: tuple[str, ...], place: Path) -> tuple[dict[str, Any], bytes, int, float]:
    """Return what a command makes, how many operations it takes, and how long."""
    began = time.perf_counter()
    assert forked(place, words, DeadlyDisk(0)) == 0, (place / "printed.txt").read_text()
    seconds, file = time.perf_counter() - began, place / "model.safetensors"
    exported = file.read_bytes() if file.exists() else b""
    return results(place), exported, int((place / "operations").read_text()), seconds


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_kill_leaves_the_parents_whole_and_nothing_or_a_run_that_ends(
    verb: str, parents: dict[str, Path], tmp_path: Path
) -> None:
    words = tuple(word.format(**parents) for word in VERBS[verb])
    before, chance, tally = snapshot(*parents.values()), soak.seed(verb), Tally()
    whole, exported, operations, seconds = undisturbed(words, tmp_path / "whole")
    assert operations > 3
    assert (verb == "export") == (not whole)
    count = min(operations, soak.cases(1))
    for n in sorted(chance.sample(range(1, operations + 1), count)):
        assert forked(tmp_path / f"at-{n}", words, DeadlyDisk(n)) == -signal.SIGKILL
        examine(verb, tmp_path / f"at-{n}", whole, exported, tally)
        assert snapshot(*parents.values()) == before, n
    for n in range(soak.cases(1) - 1):
        if forked(tmp_path / f"after-{n}", words, seconds=chance.uniform(0, seconds)) == -signal.SIGKILL:
            examine(verb, tmp_path / f"after-{n}", whole, exported, tally)
        assert snapshot(*parents.values()) == before, n
    print(f"{verb}: {operations} operations; {tally}")
