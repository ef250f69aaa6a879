"""`make torture`: kill a training at random moments, with SIGKILL, resume it, and compare its end with an undisturbed one's.

Every run is killed again and again until it gets through; then a new one is started, until there were enough kills. With
``--processes 2``, two processes train: the command, the first or the second process is killed, the run is resumed by one
process or two, and its end is compared with that of one process.
"""

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.family import Child, children, lives
from tests.zygote import Process, Zygote
from trainctl.errors import CheckpointError
from trainctl.store import restore, rundir

TRAIN = (
    "dataset=iris", "model=mlp", "model.hidden=[16]", "optimizer=adam", "loop.batch_size=20", "loop.epochs=4",
    "loop.eval_every_steps=3", "checkpoint.every_seconds=0", "output.plots=false", "threads=1",
)  # fmt: skip
MANY = (
    "loop.micro_batches=2",
    "loop.epochs=12",
)  # a part for each of two processes, and steps that take as long as imports
PATIENCE = 400.0  # for a command to end, on a busy machine [s]
LEAVE = 30.0  # for the processes of a command that was killed to save and end, on a busy machine [s]
PROMPTLY = 5.0  # the same, where nobody else uses the machine [s]
SECOND = r"(?<=\d{8})-[0-9a-f]{8}(?=\.)"  # in the name of a file
EARLIER = r"(?!{:08d})\d{{8}}"  # step in the name of a file
Start = Callable[..., Process]


@dataclass
class Report:
    """What was done, and what was wrong."""

    kills: int = 0
    unborn: int = 0
    taken_over: int = 0
    runs: int = 0
    late: int = 0
    victims: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        victims = ", ".join(f"{name}: {count}" for name, count in sorted(self.victims.items()))
        return (
            f"{self.kills} kills ({victims}; {self.unborn} before the first checkpoint), {self.runs} runs resumed to their"
            f" end, {self.taken_over} locks taken over, {self.late} commands whose processes needed more than {PROMPTLY:g} s"
            f" to end, {len(self.wrong)} wrong"
        )


class Moments:
    """Times after which a command is killed. The latest one follows the machine, which gets busier, and idle again.

    Args:
        chance: Draws them.
        seconds: That an undisturbed run has taken; the latest time is never earlier.
    """

    def __init__(self, chance: random.Random, seconds: float) -> None:
        self.chance, self.least, self.seconds = chance, seconds, seconds

    def draw(self) -> float:
        return self.chance.uniform(0, self.seconds)

    def too_early(self) -> None:
        self.seconds *= 1.5

    def too_late(self) -> None:
        self.seconds = max(self.least, self.seconds / 1.5)


def torture(
    start: Start, folder: Path, kills: int, seed: int = 0, processes: int = 1, report: Report | None = None
) -> Report:
    """Kill, resume and compare.

    Args:
        start: Starts the command with arguments, as in `conftest.py`.
        folder: An empty one.
        kills: How many.
        seed: Of the moments.
        processes: The most that train a run.
        report: Filled in as the kills are made; None for a new one.
    """
    report, chance = report or Report(), random.Random(seed)
    train, many = (TRAIN, []) if processes == 1 else ((*TRAIN, *MANY), [f"processes={processes}"])
    finish(start, *train, *many, f"output.root={folder / 'first'}")  # imports what later ones find imported
    finish(start, *train, f"output.root={folder / 'whole'}")
    whole = outcome(only_run(folder / "whole"))
    began = time.perf_counter()
    finish(start, *train, *many, f"output.root={folder / 'timed'}")
    moments = Moments(chance, time.perf_counter() - began)
    while report.kills < kills:
        shown = len(report.wrong)
        root = folder / f"{report.runs}-{report.kills}"
        killed(start, moments, report, *train, *many, f"output.root={root}")
        directory = only_run(root)
        if directory is None or not has_checkpoint(directory):
            report.unborn += 1
            moments.too_early()
            continue
        while report.kills < kills and not has_finished(directory):
            again = [f"processes={chance.randint(1, processes)}"] if many else []
            killed(start, moments, report, "resume", str(directory), *again)
            if not has_checkpoint(directory):
                report.wrong.append(f"{directory}: its checkpoint is lost")
        # Without a summary, or with a lock: it was killed before its end, or between its summary and the lock's release.
        if not has_finished(directory) or (directory / "lock.json").exists():
            finish(start, "resume", str(directory), *(["processes=1"] if many else []))
        report.runs += 1
        report.taken_over += (directory / "log.txt").read_text().count("took over the lock")
        if len(list(rundir.all_runs(root))) > 1:
            report.wrong.append(f"{root}: has several runs")
        if different := [name for name, value in outcome(directory).items() if value != whole[name]]:
            report.wrong.append(f"{directory}: ended otherwise than the undisturbed run ({', '.join(different)})")
        print("\n".join([*report.wrong[shown:], f"so far: {report}"]), file=sys.stderr, flush=True)
    return report


def killed(start: Start, moments: Moments, report: Report, *arguments: str) -> None:
    """Start a command, and kill it, or one of the processes that it has started, after a random time."""
    process = start(*arguments)
    time.sleep(moments.draw())
    own = [each for each in children(process.pid) if each.leads]  # with one process, none
    victims = [("command", process.pid), *((f"process {rank}", each.pid) for rank, each in enumerate(own))]
    name, pid = moments.chance.choice(victims)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(PATIENCE)
    if process.returncode == -signal.SIGKILL or (name != "command" and process.returncode == 7):
        report.kills += 1
        report.victims[name] = report.victims.get(name, 0) + 1
    elif process.returncode == 0:
        moments.too_late()
    else:
        report.wrong.append(f"{name} was killed: exit code {process.returncode}: {errors}")
    if process.returncode == 7 and "was killed (SIGKILL)" not in errors:
        report.wrong.append(f"{name} was killed: {errors}")
    wait_for_the_end(own, report)


def wait_for_the_end(own: list[Child], report: Report) -> None:
    """Wait until processes have ended; a killed command must leave none."""
    began = time.monotonic()
    while left := [each.pid for each in own if lives(each)]:
        if time.monotonic() - began > LEAVE:
            report.wrong.append(f"processes {left} still run")
            return
        time.sleep(0.02)
    report.late += time.monotonic() - began > PROMPTLY


def has_finished(directory: Path) -> bool:
    return rundir.read_json(directory / "summary.json").get("outcome") == "finished"


def finish(start: Start, *arguments: str) -> None:
    process = start(*arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def only_run(root: Path) -> Path | None:
    return next(iter(rundir.all_runs(root)), None)


def has_checkpoint(directory: Path) -> bool:
    try:
        return bool(restore.newest(directory))
    except CheckpointError:
        return False


def outcome(directory: Path | None) -> dict[str, Any]:
    """Return final weights, optimizer and best weights by their SHA-256, every evaluation, and what lies there.

    The checkpoint before the newest one is that of the step at which the run was interrupted, if it was so late. A second one
    of a step, e.g. of one that was saved before its evaluation, has a part of its hash in its name.
    """
    assert directory
    manifest = restore.newest(directory).manifest
    rows = [
        {key: value for key, value in row.items() if key not in ("seconds", "samples_per_second")}
        for row in rundir.read_metrics(directory)
    ]
    lines = len((directory / "metrics.jsonl").read_text().splitlines())
    names = [re.sub(SECOND, "", str(path.relative_to(directory))) for path in directory.rglob("*")]
    files = sorted(re.sub(EARLIER.format(manifest.step), "before", name) for name in names)
    return {
        "step": manifest.step,
        "newest": manifest.last.sha256,
        "best": [manifest.best.sha256 if manifest.best else None, manifest.state["best"]],
        "rows": rows,
        "lines": lines,
        "files": files,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    zygote = Zygote()
    report = Report()
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        torture(
            lambda *arguments: zygote.start(arguments, Path(folder), os.environ),
            Path(folder),
            options.kills,
            options.seed,
            options.processes,
            report,
        )
    zygote.close()
    print(report)
    print("\n".join(report.wrong or ["every run ended with the bits of the undisturbed one, every step once"]))
    return bool(report.wrong)


if __name__ == "__main__":
    sys.exit(main())
