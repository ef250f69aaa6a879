"""Long sweeps, only in `make soak`: memory and disk do not grow, and a process that slept through its lease writes nothing.

Each takes less than a minute on two idle cores.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import soak
from tests.family import children
from trainctl.store import restore

pytestmark = [
    pytest.mark.soak,
    pytest.mark.slow,
    pytest.mark.skipif(soak.FACTOR == 1, reason="takes a minute: only in make soak"),
]
TINY = ("dataset=iris", "model=mlp", "model.hidden=[5]", "loop.batch_size=40", "threads=1")
TRIALS = 200
EARLY = 40  # trials after which everything that is loaded once is loaded
# Bounds [bytes], about twice what was measured.
MOST_GROWTH = {"pool": 8e6, "nursery": 8e6, "worker": 40e6}  # of private memory between the 40th and the 190th trial
MOST_OF_A_TRIAL = 60e3  # on disk, without checkpoints
# A pool that believes to be on another machine: it must not ask this machine's kernel which processes live.
ELSEWHERE = """
import platform, socket, sys
platform.node = socket.gethostname = lambda: "elsewhere"
from trainctl.machine import identity
identity.machine = lambda: "another machine"
from trainctl.cli import main
sys.exit(main())
"""


def private(pid: int) -> int:
    """Return the memory that a process shares with no other [bytes]; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * sum(int(amount) for amount in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


def ended(home: Path) -> int:
    """Return how many trials of a sweep have ended."""
    return sum(path.read_text().count('"event": "end"') for path in home.glob("journal/*.jsonl"))


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def size(home: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file())


def memory(pool: int) -> dict[str, int]:
    """Return the private memory of a pool, of its nursery and of its largest worker [bytes]."""
    nurseries = [nursery.pid for nursery in children(pool)]
    workers = [worker.pid for nursery in nurseries for worker in children(nursery)]
    return {
        "pool": private(pool),
        "nursery": max(map(private, nurseries), default=0),
        "worker": max(map(private, workers), default=0),
    }


def test_neither_memory_nor_disk_grow_over_200_trials(start: Callable[..., Any], tmp_path: Path) -> None:
    rates = f"optimizer.lr={','.join(f'{0.001 + number / 1e5:.5f}' for number in range(TRIALS))}"
    process = start("-m", *TINY, rates, "loop.max_steps=1", "sweep.workers=1", "sweep.keep=none", "sweep.name=s")
    home = tmp_path / "runs" / "s"
    wait_for(lambda: ended(home) >= EARLY, "the first trials")
    early, began = memory(process.pid), size(home)
    count = ended(home)
    peak = dict.fromkeys(early, 0)
    while (now := ended(home)) < TRIALS - 10:
        peak = {name: max(peak[name], used) for name, used in memory(process.pid).items()}
        time.sleep(0.1)
    grown = size(home) - began
    assert process.communicate(120)[1] == ""
    assert process.returncode == 0
    print(
        {name: f"{(peak[name] - early[name]) / 1e6:.1f} MB" for name in early}, f"{grown / (now - count) / 1e3:.1f} kB"
    )
    assert early["worker"] > 1e6
    for name, bound in MOST_GROWTH.items():
        assert peak[name] - early[name] < bound, name
    assert grown / (now - count) < MOST_OF_A_TRIAL
    files = {
        path.parent.name: sorted(each.name for each in path.parent.rglob("*")) for path in home.glob("*/config.yaml")
    }
    assert len(files) == TRIALS
    assert len(set(map(tuple, files.values()))) == 1  # each trial leaves the same
    assert not list(home.rglob("checkpoints/*"))
    assert not list(home.rglob(".trainctl-*"))
    assert len(list((home / "logs").iterdir())) == TRIALS + 1
    assert not children(process.pid)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Return a function that starts a command that believes to be on another machine."""
    made: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", ELSEWHERE, *words]
        with (tmp_path / f"elsewhere-{len(made)}.log").open("w") as log:
            made.append(subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, text=True))
        return made[-1]

    yield begin
    for process in made:
        process.kill()
        process.wait()


@pytest.fixture
def stop() -> Iterator[Callable[[list[int]], None]]:
    """Return a function that stops processes; those that a failed test leaves are ended."""
    stopped: list[int] = []

    def send(pids: list[int]) -> None:
        stopped.extend(pids)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    yield send
    for pid in stopped:
        if is_stopped(pid):
            os.kill(pid, signal.SIGKILL)


def is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def evaluations(home: Path, trial: str) -> int:
    path = home / trial / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def claimants(home: Path) -> dict[str, str]:
    """Return for each trial that is claimed once the writer that claimed it."""
    return {path.name.rpartition(".")[0]: path.read_text() for path in home.glob("claims/*.0")}


def snapshot(home: Path) -> dict[str, str]:
    """Return a digest of each file of the trials, and of the results."""
    kept = [path for path in home.rglob("*") if path.is_file() and not path.is_relative_to(home / "lost")]
    kept = [path for path in kept if path.relative_to(home).parts[0] not in ("journal", "logs", "plots")]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def test_of_two_pools_one_is_killed_and_one_sleeps_longer_than_its_lease(
    slow: str, start: Callable[..., Any], elsewhere: Callable[..., Any], stop: Callable[..., None], tmp_path: Path
) -> None:
    about = [*TINY, f"components=[{slow}]", "early_stopping=slow", "loop.epochs=80", "checkpoint.every_seconds=0"]
    words = [*about, "optimizer.lr=0.01,0.02", "sweep.workers=1", "sweep.name=s", "sweep.lease=3s"]
    home = tmp_path / "runs" / "s"
    names = ["0-optimizer.lr=0.01", "1-optimizer.lr=0.02"]

    # 1. Two pools on this machine train a trial each.
    pools = [start("-m", *words)]
    wait_for((home / "lists" / "000000.json").exists, "the first pool has created the sweep")
    pools.append(start("-m", *words))
    wait_for(lambda: all(evaluations(home, name) > 2 for name in names), "both pools train")
    writers = claimants(home)
    mine = {pool: key for key, writer in writers.items() for pool in pools if f"-{pool.pid}-" in writer}
    assert sorted(mine.values()) == ["0", "1"]
    killed, sleeper = pools
    number, second = int(mine[sleeper]), writers[mine[sleeper]]

    # 2. One is killed, the other sleeps, with all its processes; a third one, elsewhere, finishes the sweep.
    asleep = [sleeper.pid, *(nursery.pid for nursery in children(sleeper.pid))]
    asleep += [worker.pid for nursery in asleep[1:] for worker in children(nursery)]
    assert len(asleep) == 3
    stop(asleep)
    killed.send_signal(signal.SIGKILL)
    own_words = (home / "journal" / f"{second}.jsonl").read_bytes()
    third = elsewhere("-m", *words)
    assert third.wait(120) == 0, (tmp_path / "elsewhere-0.log").read_text()
    killed.communicate(60)
    assert f"{names[number]}.1" in [path.name for path in home.glob("lost/*")]
    before = snapshot(home)

    # 3. The sleeper wakes up: it changes no file of a trial, adds no event of one, and ends.
    for pid in reversed(asleep):
        os.kill(pid, signal.SIGCONT)
    out, err = sleeper.communicate(60)
    assert (sleeper.returncode, err) == (0, "")
    assert "given up  point 1: optimizer.lr=0.02: another process has taken it over" in out
    assert snapshot(home) == before
    added = (home / "journal" / f"{second}.jsonl").read_bytes().removeprefix(own_words).splitlines()
    assert [json.loads(line)["event"] for line in added] == ["bye"]

    # 4. Every trial has the bits that it has alone.
    for name in names:
        rows = map(json.loads, (home / name / "metrics.jsonl").read_text().splitlines())
        assert [row["epoch"] for row in rows if "val/loss" in row] == list(range(1, 81))
        alone = start(*about, name.partition("-")[2], f"output.root=alone-{name}")
        assert alone.communicate(60)[1] == ""
        (directory,) = [path for path in (tmp_path / f"alone-{name}").iterdir() if path.is_dir()]
        whole = restore.newest(directory).tensors("last")
        assert all(torch.equal(value, whole[key]) for key, value in restore.newest(home / name).tensors("last").items())
