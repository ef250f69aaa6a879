"""A run's directory has one writer; a lock whose process is gone is taken over, and said."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.test_faults import settings
from trainctl.errors import StorageError
from trainctl.run.run import Run
from trainctl.store import checkpoint, lock, restore
from trainctl.train import session


def lock_of(directory: Path, **changes: Any) -> dict[str, Any]:
    """Write the lock of this process, changed."""
    content = lock._me() | changes
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
        pytest.raises(StorageError, match=rf"process {os.getpid()} on .* since \d.*wait for it or end it"),
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
    if not lock._started(os.getpid()):
        pytest.skip("this system does not tell when a process started")
    lock_of(tmp_path, pid=os.getppid(), started="another boot 1")
    assert "took over" in lock.take(tmp_path)


@pytest.mark.parametrize("key", ["host", "namespace"])
def test_a_lock_of_another_machine_is_refused_with_how_to_remove_it(tmp_path: Path, ended: int, key: str) -> None:
    lock_of(tmp_path, pid=ended, **{key: "elsewhere"})
    with pytest.raises(StorageError, match=rf"if it no longer runs, remove {tmp_path}/lock\.json"):
        lock.take(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', "\0" * 50], ids=["empty", "torn", "list", "other", "zeros"]
)
def test_a_lock_without_content_is_waited_for_and_then_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.02)
    (tmp_path / lock.NAME).write_text(content)
    assert lock.take(tmp_path) == "took over an empty lock"


def test_who_has_lost_the_lock_does_not_remove_that_of_another(tmp_path: Path) -> None:
    with lock.hold(tmp_path):
        lock_of(tmp_path, pid=os.getppid())
    assert (tmp_path / lock.NAME).exists()


def test_who_has_lost_the_lock_writes_no_more_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpoint.save

    def losing(run: Run, directory: Path, *rest: Any) -> None:
        save(run, directory, *rest)
        if run.state.step == 1:
            lock_of(directory, pid=os.getppid())

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
    assert lock.take(tmp_path) == f"took over the lock of process {holder}, which no longer runs"


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
