"""A run's directory has one writer; a lock whose process is gone is taken over, and said."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.train.test_faults import settings
from trainctl.errors import StorageError
from trainctl.machine import identity
from trainctl.run import assemble
from trainctl.run.run import Run
from trainctl.store import checkpoint, directories, files, lock, manifest, restore, runpath
from trainctl.train import session


def lock_of(directory: Path, **changes: Any) -> dict[str, Any]:
    """Write the lock of this process, changed."""
    content = asdict(lock.me(runpath.hold(directory))) | changes
    (directory / lock.NAME).write_text(json.dumps(content))
    return content


@pytest.fixture
def ended() -> int:
    """Return the number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_a_second_writer_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    with (
        lock.hold(tmp_path),
        pytest.raises(StorageError, match=rf"process {os.getpid()} on .* since \d.*wait for it to finish, or stop it"),
    ):
        lock.take(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path: Path, ended: int) -> None:
    lock_of(tmp_path, pid=ended)
    with lock.hold(tmp_path) as note:
        assert note == f"took over the lock of process {ended}, which no longer runs"
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_another_process_has_got_since_is_no_lock(tmp_path: Path) -> None:
    if not identity.started(os.getpid()):
        pytest.skip("this system does not tell when a process started")
    lock_of(tmp_path, pid=os.getppid(), started="another boot 1")
    assert "took over" in lock.take(tmp_path)[1]


@pytest.mark.parametrize("key", ["host", "namespace"])
def test_a_lock_of_another_machine_is_refused_with_how_to_remove_it(tmp_path: Path, ended: int, key: str) -> None:
    lock_of(tmp_path, pid=ended, **{key: "elsewhere"})
    with pytest.raises(StorageError, match=rf"if it no longer runs, .*, remove {tmp_path}/lock\.json"):
        lock.take(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', "\0" * 50], ids=["empty", "torn", "list", "other", "zeros"]
)
def test_a_lock_without_content_is_waited_for_and_then_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.02)
    (tmp_path / lock.NAME).write_text(content)
    assert lock.take(tmp_path)[1] == "took over an empty lock"


@pytest.mark.parametrize("changes", [{"pid": 1}, {}], ids=["another", "the-same-number-in-another-container"])
def test_who_has_lost_the_lock_does_not_remove_that_of_another(tmp_path: Path, changes: dict[str, Any]) -> None:
    with lock.hold(tmp_path):
        lock_of(tmp_path, **changes)
    assert (tmp_path / lock.NAME).exists()


@pytest.mark.parametrize("taken", [True, False], ids=["taken-over", "removed"])
def test_who_has_lost_the_lock_changes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.02)
    (tmp_path / "checkpoints").mkdir()
    for name in ("a", "checkpoints/b"):
        (tmp_path / name).write_text("old")
    held = runpath.hold(tmp_path)
    with lock.hold(held):
        lock_of(tmp_path) if taken else (tmp_path / lock.NAME).unlink()
        for change in (
            lambda: files.write_bytes(held / "a", b"new"), lambda: files.append(held / "a", b"new"),
            lambda: files.create(held / "new", b"new"), lambda: files.remove(held / "checkpoints" / "b"),
            lambda: directories.make_directory(held / "new"), lambda: files.rename(held / "a", held / "new"),
            lambda: files.open_new(held / "new"), lambda: directories.ensure_directory(held / "new"),
        ):  # fmt: skip
            with pytest.raises(lock.LostLockError, match="took over this run" if taken else "its lock was removed"):
                change()
    left = {path.name for path in tmp_path.rglob("*")} - {lock.NAME}
    assert left == {"a", "checkpoints", "b"}
    assert (tmp_path / "a").read_text() == "old"


def test_a_file_whose_writer_loses_the_lock_meanwhile_does_not_appear(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    held = runpath.hold(tmp_path)

    def portions() -> Iterator[bytes]:
        yield b"new"
        (tmp_path / lock.NAME).unlink()

    with lock.hold(held), pytest.raises(lock.LostLockError, match="its lock was removed"):
        files.write(held / "a", portions(), 3)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_copy_of_a_run_that_is_being_trained_has_no_lock(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with lock.hold(tmp_path / "run"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        with lock.hold(tmp_path / "copy") as note:
            assert (
                note
                == f"took over the lock of process {os.getpid()}, which belongs to {tmp_path / 'run'}, not to this copy"
            )
        with pytest.raises(StorageError, match="has been writing to this run"):
            lock.take(tmp_path / "run")


def test_a_run_that_was_moved_keeps_its_lock(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    held = runpath.hold(tmp_path / "run")
    with lock.hold(held):
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(StorageError, match="has been writing to this run"):
            lock.take(tmp_path / "moved")
        files.write_bytes(held / "x", b"x")
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["x"]


def test_a_process_that_was_suspended_while_another_finished_the_run_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first loses its lock between two steps; the second ends the run; then the first goes on."""
    monkeypatch.setattr(lock, "WAIT", 0.02)
    directory, finished, save = tmp_path / "run", {}, checkpoint.save

    def suspended(run: Run, held: Any, *rest: Any) -> None:
        save(run, held, *rest)
        if run.state.step == 1 and not finished:
            (directory / lock.NAME).unlink()
            finished.update(session.resume(settings(), [], directory))
            finished["files"] = contents(directory)

    monkeypatch.setattr(checkpoint, "save", suspended)
    with pytest.raises(lock.LostLockError, match="its lock was removed"):
        session.begin(settings(), [], directory)

    assert finished["outcome"] == "finished"
    assert contents(directory) == finished["files"]


def contents(directory: Path) -> dict[str, bytes]:
    """Return the content of every file of a run."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_checkpoint_written_after_the_lock_was_lost_is_not_the_newest(tmp_path: Path) -> None:
    """A process may lose its lock after it looked for it, and before it writes: nothing can prevent that."""
    session.begin(settings(), [], tmp_path / "run")
    late = restore.newest(tmp_path / "run")
    shutil.copytree(tmp_path / "run" / "checkpoints", tmp_path / "late")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert late.manifest.step == 2
    with lock.hold(held := runpath.hold(tmp_path / "run")):
        assert held.anchor.fence > late.manifest.fence
        checkpoint.save(assemble.assemble(settings()), held)  # of step 0
        shutil.copytree(tmp_path / "late", tmp_path / "run" / "checkpoints", dirs_exist_ok=True)
        assert restore.newest(tmp_path / "run").manifest.step == 0


def test_who_finds_a_checkpoint_of_a_later_lock_writes_none(tmp_path: Path) -> None:
    session.begin(settings(), [], tmp_path / "run")
    newest = restore.newest(tmp_path / "run")
    with lock.hold(held := runpath.hold(tmp_path / "run")):
        content = asdict(newest.manifest) | {"fence": held.anchor.fence + 1}
        (tmp_path / "run" / "checkpoints" / newest.path.name).write_text(
            json.dumps(content | {"sha256": manifest.checksum(content)})
        )
        with pytest.raises(lock.LostLockError, match="another process has written a checkpoint"):
            checkpoint.save(assemble.assemble(settings()), held)
    assert restore.newest(tmp_path / "run").manifest.fence == content["fence"]


def test_who_has_lost_the_lock_writes_no_more_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpoint.save

    def losing(run: Run, directory: Path, *rest: Any) -> None:
        save(run, directory, *rest)
        if run.state.step == 1:
            lock_of(tmp_path / "run", pid=os.getppid())

    monkeypatch.setattr(checkpoint, "save", losing)
    with pytest.raises(StorageError, match=rf"process {os.getppid()} on .* took over this run"):
        session.begin(settings(), [], tmp_path / "run")
    assert restore.newest(tmp_path / "run").manifest.step == 1
    assert (tmp_path / "run" / lock.NAME).exists()


def test_of_many_that_take_over_a_lock_one_gets_it(tmp_path: Path, ended: int) -> None:
    lock_of(tmp_path, pid=ended)
    children = []
    for _ in range(8):
        if (child := os.fork()) == 0:
            try:
                lock.take(tmp_path)
                signal.pause()  # holds it until the test is done
            except BaseException:  # noqa: BLE001 - this is a process of its own
                os._exit(1)
        children.append(child)
    refused = [os.waitpid(-1, 0)[1] for _ in range(7)]
    assert all(os.waitstatus_to_exitcode(status) == 1 for status in refused)
    (holder,) = (
        child for child in children if str(child) == str(json.loads((tmp_path / lock.NAME).read_text())["pid"])
    )
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert lock.take(tmp_path)[1] == f"took over the lock of process {holder}, which no longer runs"


def test_resuming_a_run_that_is_being_trained_is_refused(
    start: Callable[..., Any], command: Callable[..., Any]
) -> None:
    words = ("dataset=iris", "model=linear", "loop.epochs=null", "loop.max_time=1h", "output.plots=false")
    process = start(*words)
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    refused = command("resume")
    process.send_signal(signal.SIGTERM)
    process.communicate()

    assert refused.returncode == 5
    assert "has been writing to this run since" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert process.returncode == 143
