"""`make torture`: kill a training at random moments, with SIGKILL, resume it, and compare its end with an undisturbed one's.

Every run is killed again and again until it gets through; then a new one is started, until there were enough kills.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.zygote import Process, Zygote
from trainctl.errors import CheckpointError
from trainctl.store import restore, rundir

TRAIN = (
    "dataset=iris", "model=mlp", "model.hidden=[16]", "optimizer=adam", "loop.batch_size=20", "loop.epochs=4",
    "loop.eval_every_steps=3", "checkpoint.every_seconds=0", "output.plots=false", "threads=1",
)  # fmt: skip
Start = Callable[..., Process]


@dataclass
class Report:
    """What was done, and what was wrong."""

    kills: int = 0
    unborn: int = 0
    taken_over: int = 0
    runs: int = 0
    wrong: list[str] | None = None

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.unborn} before the first checkpoint), {self.runs} runs resumed to their end,"
            f" {self.taken_over} locks taken over, {len(self.wrong or [])} wrong"
        )


def torture(start: Start, folder: Path, kills: int, seed: int = 0) -> Report:
    """Kill, resume and compare.

    Args:
        start: Starts the command with arguments, as in `conftest.py`.
        folder: An empty one.
        kills: How many.
        seed: Of the moments.
    """
    report, chance = Report(wrong=[]), random.Random(seed)
    finish(start, *TRAIN, f"output.root={folder / 'first'}")  # imports what later ones find imported
    began = time.perf_counter()
    finish(start, *TRAIN, f"output.root={folder / 'whole'}")
    seconds = time.perf_counter() - began
    whole = outcome(only_run(folder / "whole"))
    while report.kills < kills:
        root = folder / f"{report.runs}-{report.kills}"
        killed(start, chance.uniform(0, seconds), report, *TRAIN, f"output.root={root}")
        directory = only_run(root)
        if directory is None or not has_checkpoint(directory):
            report.unborn += 1
            continue
        while report.kills < kills and not rundir.read_json(directory / "summary.json"):
            killed(start, chance.uniform(0, seconds), report, "resume", str(directory))
            if not has_checkpoint(directory):
                report.wrong.append(f"{directory}: its checkpoint is lost")
        # Without a summary, or with a lock: it was killed before its end, or between its summary and the lock's release.
        if not rundir.read_json(directory / "summary.json") or (directory / "lock.json").exists():
            finish(start, "resume", str(directory))
        report.runs += 1
        report.taken_over += (directory / "log.txt").read_text().count("took over the lock")
        if outcome(directory) != whole:
            report.wrong.append(f"{directory}: ended otherwise than the undisturbed run")
    return report


def killed(start: Start, seconds: float, report: Report, *arguments: str) -> bool:
    """Start a command and kill it after a time; say whether it was still running."""
    process = start(*arguments)
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        process.send_signal(9)
    _, errors = process.communicate()
    if process.returncode == -9:
        report.kills += 1
    elif process.returncode != 0:
        report.wrong.append(f"exit code {process.returncode}: {errors}")
    return process.returncode == -9


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


def outcome(directory: Path | None) -> tuple[Any, ...]:
    """Return final weights, optimizer and best weights by their SHA-256, every evaluation, and what lies there."""
    assert directory
    manifest = restore.newest(directory).manifest
    rows = [
        {key: value for key, value in row.items() if key not in ("seconds", "samples_per_second")}
        for row in rundir.read_metrics(directory)
    ]
    lines = len((directory / "metrics.jsonl").read_text().splitlines())
    files = sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
    return manifest.step, manifest.last, manifest.best, manifest.state["best"], rows, lines, files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    zygote = Zygote()
    with tempfile.TemporaryDirectory() as folder:
        report = torture(
            lambda *arguments: zygote.start(arguments, Path(folder), os.environ),
            Path(folder),
            options.kills,
            options.seed,
        )
    zygote.close()
    print(report)
    print("\n".join(report.wrong or ["every run ended with the bits of the undisturbed one, every step once"]))
    return bool(report.wrong)


if __name__ == "__main__":
    sys.exit(main())
