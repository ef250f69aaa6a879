"""A disk that fails, fills, or loses its power costs no training: the run goes on, or stops with what it has.

Every operation of the writer fails once, and for good, at its n-th call for n = 1, 2, 3, ... until it is not reached:
SQLite's method.
"""

import errno
import hashlib
import itertools
import os
import random
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import soak
from tests.faults import FailingDisk, PowerLoss, RecordingDisk, lay_out, replace_os
from tests.train.test_resume import timeless
from trainctl.data.rows import SplitName
from trainctl.errors import Advice, Interrupted, StorageError, Terminated
from trainctl.run.run import Evaluation, Run
from trainctl.settings import compose, config
from trainctl.store import checkpoint, disk, lock, restore, rundir
from trainctl.train import checkpoint_writer as saving
from trainctl.train import evaluation, loop, provenance, session

pytestmark = pytest.mark.filterwarnings("ignore::trainctl.errors.Advice")
TINY = (
    "dataset=iris", "model=linear", "loop.batch_size=60", "loop.epochs=1", "loop.eval_every_steps=1",
    "checkpoint.every_seconds=0", "output.plots=false", "threads=1",
)  # fmt: skip


@cache
def settings(*overrides: str) -> config.Config:
    return compose.compose([*TINY, *overrides])


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(provenance.repository, "describe", lambda directory: None)  # half of such a run's time


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    session.begin(settings(), [], directory)
    return directory


def result(directory: Path) -> tuple[Any, ...]:
    """Return what a run came to, less what the clock says."""
    saved = restore.newest(directory)
    summary = rundir.read_json(directory / "summary.json")
    outcome = {key: summary.get(key) for key in ("outcome", "reason", "steps", "best", "metrics")}
    entries = tuple(getattr(saved.manifest, which).sha256 for which in ("last", "best"))
    return saved.manifest.step, entries, timeless(rundir.read_metrics(directory)), outcome


def ended_under(disk: FailingDisk, directory: Path, monkeypatch: pytest.MonkeyPatch, *, resumed: bool = False) -> bool:
    """Train on a disk; say whether it trained to the end. Any other error than of storage is the test's."""
    with monkeypatch.context() as patch:
        replace_os(patch, disk)
        try:
            session.resume(settings(), [], directory) if resumed else session.begin(settings(), [], directory)
        except StorageError:
            return False
    return True


def assert_goes_on_to_the_same_end(directory: Path, whole: Path, *, ended: bool) -> None:
    assert restore.newest(directory).manifest.step >= 0, "no good checkpoint was left"
    (directory / lock.NAME).unlink(missing_ok=True)  # its process would be gone
    summary = session.resume(settings(), [], directory)
    assert summary["resumed"] is not ended
    assert result(directory) == result(whole)
    assert {path.name for path in directory.iterdir()} == {path.name for path in whole.iterdir()}
    names = ({path.name for path in (run / "checkpoints").iterdir()} for run in (directory, whole))
    assert next(names) <= next(names), "something superfluous was not removed"


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("persistent", [False, True], ids=["once", "for-good"])
def test_a_disk_that_fails_at_its_nth_operation_costs_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, persistent: bool
) -> None:
    ended = stopped = unborn = n = 0  # unborn: nothing was left behind
    stride = max(1, (4 if persistent else 2) // soak.FACTOR)
    while True:
        n += stride
        directory, disk = tmp_path / f"{n}", FailingDisk(n, persistent=persistent)
        finished = ended_under(disk, directory, monkeypatch)
        if not disk.fired:
            break
        if not directory.exists():
            unborn += 1
            assert not finished
            continue
        ended, stopped = ended + finished, stopped + (not finished)
        assert_goes_on_to_the_same_end(directory, whole, ended=summary_is_there(directory))
        shutil.rmtree(directory)

    # Before the first checkpoint nothing is worth keeping; after it one failure is survived, a broken disk stops the run.
    assert unborn * stride > 25
    assert n > 80
    assert stopped * stride > 40 if persistent else stopped == 0 and ended * stride > 40


def summary_is_there(directory: Path) -> bool:
    return rundir.read_json(directory / "summary.json").get("outcome") == "finished"


@pytest.mark.slow
def test_a_disk_that_fails_while_a_run_is_resumed_costs_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tmp_path / "cut"
    assert not ended_under(FailingDisk(70, persistent=True), cut, monkeypatch)
    assert restore.newest(cut).manifest.step < 2
    n = 0
    while True:
        n += 3  # the sites are those of the test above
        directory, disk = tmp_path / f"{n}", FailingDisk(n, persistent=n % 2 == 0)
        shutil.copytree(cut, directory)
        (directory / lock.NAME).unlink()
        ended_under(disk, directory, monkeypatch, resumed=True)
        if not disk.fired:
            break
        assert_goes_on_to_the_same_end(directory, whole, ended=summary_is_there(directory))
    assert n > 30


@pytest.mark.parametrize("file", ["metrics.jsonl", "log.txt", "plots"])
def test_records_that_cannot_be_written_are_told_once_and_end_nothing(tmp_path: Path, whole: Path, file: str) -> None:
    directory = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        replace_os(patch, Forbidding(file))
        with pytest.warns(Advice, match=file.partition(".")[0]) as told:
            session.begin(settings(*(["output.plots=true"] if file == "plots" else [])), [], directory)
    assert len(told) == 1
    assert restore.newest(directory).manifest.last == restore.newest(whole).manifest.last
    if file == "metrics.jsonl":
        (directory / "summary.json").unlink()
        session.resume(settings(), [], directory)
        assert result(directory) == result(whole), "rows that only the checkpoint holds are lost"


class Forbidding:
    """An ``os`` that cannot open or rename files with a word in their path."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("open", "mkdir", "replace"):
            return real

        def operation(*arguments: Any, **where: Any) -> Any:
            if any(self.word in str(argument) for argument in arguments):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **where)

        return operation


def test_a_power_loss_at_any_moment_leaves_a_good_checkpoint(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"
    log, good = recorded(directory, monkeypatch)
    chance, tried, resumed = random.Random(0), set(), set()
    replay, promised = PowerLoss(tmp_path), -1
    for operation in log:
        if operation[0] == "mark":
            promised = operation[1]
        else:
            replay.do(operation)
        for left in replay.remains(chance):
            key = hashlib.sha256(repr((promised, left)).encode()).digest()
            if promised < 0 or key in tried:  # before the first checkpoint there is nothing to lose
                continue
            tried.add(key)
            place = tmp_path / "after"
            lay_out(left, tmp_path, place)
            saved = restore.newest(place / "run")
            step = saved.manifest.step
            assert step >= promised
            assert (saved.manifest.last, saved.manifest.best) == good[step]
            rows = rundir.read_metrics(place / "run", step, saved.manifest.evaluations)
            steps = [row["step"] for row in rows if "val/loss" in row]
            assert steps == list(range(1, step + 1)), "a step is lost, or is there twice"
            if (step, promised) not in resumed:
                resumed.add((step, promised))
                (place / "run" / lock.NAME).unlink(missing_ok=True)
                session.resume(settings(), [], place / "run")
                assert result(place / "run")[:3] == result(whole)[:3]
            shutil.rmtree(place)
    assert len(tried) > 100
    assert {step for step, _ in resumed} == {0, 1, 2}


def recorded(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[tuple[Any, ...]], dict[int, tuple[Any, Any]]]:
    """Train; return what was done to the disk, and the payloads of each step's checkpoint."""
    disk, good, save = RecordingDisk(), {}, checkpoint.save

    def marked(run: Run, *rest: Any) -> None:
        save(run, *rest)
        manifest = restore.newest(directory).manifest
        good[run.state.step] = (manifest.last, manifest.best)
        disk.mark(run.state.step)

    with monkeypatch.context() as patch:
        replace_os(patch, disk)
        patch.setattr(checkpoint, "save", marked)
        session.begin(settings(), [], directory)
    return disk.log, good


def test_a_full_disk_stops_the_run_and_says_what_was_needed_and_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(FailingDisk):
        def __getattr__(self, name: str) -> Any:
            self.calls = 0 if not (tmp_path / "run" / "checkpoints" / "step-00000001.json").exists() else self.n
            return super().__getattr__(name)

    replace_os(monkeypatch, Full(2, persistent=True, error=errno.ENOSPC, only=("write",)))
    with pytest.raises(StorageError) as caught:
        session.begin(settings(), [], tmp_path / "run")
    assert re.fullmatch(
        r"no checkpoint was written at step 2: .*last-00000002\.safetensors: cannot be written: No space left on device"
        r" \([\d,.]+ \w+ needed, [\d,.]+ [MG]B free\); the newest checkpoint is that of step 1",
        str(caught.value),
    )


def test_a_limit_on_the_size_of_files_is_found_before_the_first_step(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"File too large \([\d,.]+ \w+ needed"):
            session.begin(settings(), [], tmp_path / "runs" / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "runs" / "run").exists()


@pytest.mark.parametrize("options", ["size=16k", "size=1m,ro"], ids=["full", "read-only"])
def test_a_full_or_read_only_file_system_is_a_storage_error(tmp_path: Path, options: str) -> None:
    place = tmp_path / "small"
    place.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place]).returncode
    ):
        pytest.skip("needs the right to mount")
    try:
        with pytest.raises(StorageError, match=r"No space left on device|Read-only file system"):
            session.begin(settings(f"output.root={place}/runs"), [])
        assert [path for path in place.rglob("*") if path.name not in ("runs", ".gitignore")] == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_little_room_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "free", lambda path: 50_000)
    session.begin(settings(), [], tmp_path / "run")
    lines = (tmp_path / "run" / "log.txt").read_text().splitlines()
    notes = [number for number, line in enumerate(lines) if "disk space is low" in line]
    assert len(notes) == 1
    assert "50.0 kB free, and a checkpoint needs" in lines[notes[0]]
    assert notes[0] < next(number for number, line in enumerate(lines) if line.startswith("epoch"))


def test_a_directory_that_is_removed_during_the_run_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, save = tmp_path / "run", checkpoint.save

    def vanishing(run: Run, *rest: Any) -> None:
        if run.state.step == 1 and directory.exists():
            shutil.rmtree(directory)
        save(run, *rest)

    monkeypatch.setattr(checkpoint, "save", vanishing)
    with pytest.raises(StorageError, match=r"the run directory was removed; this process stops"):
        session.begin(settings(), [], directory)
    assert not directory.exists()


def test_a_save_at_the_step_of_the_newest_checkpoint_that_fails_costs_nothing(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in an evaluation, resumed: after the evaluation the same step is saved, with other running sums."""
    directory, chosen = tmp_path / "run", settings("checkpoint.every_seconds=99")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", stopping_at(2))
        with pytest.raises(Terminated):
            session.begin(chosen, [], directory)
    assert restore.newest(directory).manifest.step == 2
    with monkeypatch.context() as patch:
        replace_os(patch, Forbidding("best-"))
        with pytest.raises(StorageError, match="the newest checkpoint is that of step 2"):
            session.resume(settings("loop.epochs=2"), [], directory)
    session.resume(settings(), [], directory)
    assert result(directory)[:3] == result(whole)[:3]
    assert [path.name for path in (directory / "checkpoints").glob("last-00000002*")] == [
        restore.newest(directory).manifest.last.file
    ]


def stopping_at(number: int) -> Callable[..., dict[str, float]]:
    """Return an evaluation that is told to end when it is begun the n-th time."""
    count = itertools.count(1)

    def told(measured: Evaluation, split: SplitName, check: evaluation.Check = lambda: None) -> dict[str, float]:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluation.evaluate(measured, split, check)

    return told


def test_a_run_killed_at_its_second_end_is_not_taken_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    directory, longer = tmp_path / "run", settings("loop.epochs=2")
    session.begin(settings(), [], directory)
    with monkeypatch.context() as patch:
        patch.setattr(session, "finish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            session.resume(longer, [], directory)
    assert not (directory / "summary.json").exists()
    rundir.write_json(directory / "summary.json", {"outcome": "finished", "steps": 2})  # as if it could not be removed
    summary = session.resume(longer, [], directory)
    assert (summary["resumed"], summary["steps"]) == (True, 4)
    assert session.resume(longer, [], directory)["resumed"] is False


def test_the_newest_checkpoint_is_that_of_the_highest_step_whatever_the_clock_says(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    for age, path in enumerate(sorted((tmp_path / "run" / "checkpoints").glob("*"))):
        os.utime(path, (10_000 - age, 10_000 - age))
    assert restore.newest(tmp_path / "run").manifest.step == 2


@pytest.mark.parametrize("keep", [2, 3])
def test_a_checkpoint_written_after_damaged_later_ones_is_not_pruned_for_them(tmp_path: Path, keep: int) -> None:
    chosen = settings("loop.epochs=4", f"checkpoint.keep={keep}")
    session.begin(chosen, [], tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    for path in sorted(folder.glob("last-*"))[1:]:
        path.write_bytes(b"damaged")
    oldest = restore.newest(tmp_path / "run").manifest.step
    assert oldest == 8 - keep + 1

    with pytest.raises(Interrupted):
        session.resume(
            settings("loop.epochs=5", f"checkpoint.keep={keep}", f"loop.stop_at_step={oldest + 1}"),
            [],
            tmp_path / "run",
        )

    assert restore.newest(tmp_path / "run").manifest.step == oldest + 1
    assert not restore.newest(tmp_path / "run").skipped
