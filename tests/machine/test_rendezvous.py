"""A process that starts after the first one has ended does not wait for it; one that starts before it does, and says so."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.zygote import Process
from trainctl.errors import ProcessError, UnavailableError
from trainctl.machine import rendezvous, step_mark
from trainctl.machine.environment import Place

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Slurm runs on Linux")
HOLD = """
import sys
from trainctl.machine import step_mark
step_mark.hold()
print(flush=True)
code = sys.stdin.readline()
if code.strip():
    step_mark.end(int(code), everybody_knows=False)
"""
JOB = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}


@pytest.fixture(autouse=True)
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    for name, value in (JOB | {"TMPDIR": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def first() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=-1, stdout=-1, text=True)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def place() -> Place:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return Place(1, 2, 1, 2, "127.0.0.1", port, "srun")


def test_a_first_process_is_not_here_yet_then_here_then_gone(first):
    assert step_mark.ended() is None
    first.kill()
    first.wait()
    assert step_mark.ended() == step_mark.GONE


@pytest.mark.parametrize("code", [0, 2, 143])
def test_the_exit_code_of_the_first_process_is_known(code, first):
    first.communicate(f"{code}\n")
    assert step_mark.ended() == code


@pytest.mark.parametrize("name", ["SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "SLURM_JOB_START_TIME"])
def test_another_step_and_a_job_that_was_requeued_have_a_mark_of_their_own(name, first, monkeypatch):
    first.communicate("2\n")
    monkeypatch.setenv(name, "8")
    assert step_mark.ended() is None


def test_who_has_noticed_the_end_says_so_on_a_machine_where_the_first_process_never_was():
    assert step_mark.ended() is None
    step_mark.leave()
    assert step_mark.ended() == step_mark.GONE


def test_who_has_noticed_the_end_does_not_hide_the_exit_code(first):
    step_mark.leave()
    assert step_mark.ended() is None
    first.communicate("2\n")
    step_mark.leave()
    assert step_mark.ended() == 2


def test_nothing_is_left_if_everybody_knows_the_end(tmp_path):
    step_mark.hold()
    assert len(list(tmp_path.iterdir())) == 1
    step_mark.end(0, everybody_knows=True)
    assert not list(tmp_path.iterdir())


def test_a_link_that_somebody_else_has_placed_is_not_followed(tmp_path):
    (tmp_path / "file").write_text("2")
    step_mark.path().symlink_to(tmp_path / "file")
    assert step_mark.ended() is None
    step_mark.leave()
    step_mark.hold()
    step_mark.end(0, everybody_knows=False)
    assert (tmp_path / "file").read_text() == "2"


def test_a_pipe_that_somebody_else_has_placed_is_not_waited_for():
    os.mkfifo(step_mark.path())
    look = "from trainctl.machine import step_mark; step_mark.leave(); print(step_mark.ended())"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "None\n"


def test_nothing_is_left_on_a_full_disk_if_everybody_knows_the_end(tmp_path, monkeypatch):
    def full(*given: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    step_mark.hold()
    monkeypatch.setattr(os, "write", full)
    step_mark.end(0, everybody_knows=True)
    assert not list(tmp_path.iterdir())


def test_waiting_ends_when_the_first_process_listens(place, first):
    lines = list[str]()
    with socket.create_server((place.address, place.port)):
        rendezvous._wait_for_first(place, 60, lines.append)
    assert not lines


def test_waiting_ends_with_the_first_process_and_with_the_limit(place, first, monkeypatch):
    monkeypatch.setattr(rendezvous, "SAY_AFTER", 0.2)
    lines = list[str]()
    with pytest.raises(UnavailableError) as late:
        rendezvous._wait_for_first(place, 1, lines.append)
    assert f"process 0 at 127.0.0.1, port {place.port} was not found within 1 s" in str(late.value)
    assert 1 <= len(lines) <= 3
    assert f"waits for process 0 at 127.0.0.1, port {place.port}, for at most 1 s more" in lines[0]
    first.communicate("2\n")
    with pytest.raises(ProcessError) as ended:
        rendezvous._wait_for_first(place, 60, lines.append)
    assert (ended.value.exit_code, ended.value.known) == (2, True)


def test_torchrun_may_start_the_first_process_again(place):
    step_mark.leave()
    with pytest.raises(UnavailableError):
        rendezvous._wait_for_first(replace(place, by="torchrun"), 0.3, print)


@pytest.mark.slow
@pytest.mark.parametrize("kill", [True, False])
def test_a_task_of_srun_that_is_late_ends_as_the_first_one_did(kill, start: Callable[..., Process], tmp_path):
    tasks = {
        "SLURM_JOB_ID": str(os.getpid() % 10_000), "SLURM_NTASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_STEP_ID": "0", "TMPDIR": str(tmp_path),
    }  # fmt: skip
    words = ["dataset=iris", "optimizer.lr=0.1" if kill else "optimizer.lr=many"]
    first = start(*words, **tasks, SLURM_PROCID="0", SLURM_LOCALID="0")
    if kill:
        end = time.monotonic() + 60
        while not list(tmp_path.glob("trainctl-step*")) and time.monotonic() < end:
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
    first.communicate()
    late = start(*words, **tasks, SLURM_PROCID="1", SLURM_LOCALID="1")
    _, errors = late.communicate(60)
    assert late.returncode == (7 if kill else 2)
    assert ("process 0 on 127.0.0.1 is gone" in errors) == kill
    assert len(errors.splitlines()) == kill


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_task_that_waits(number, code, start: Callable[..., Process], tmp_path):
    tasks = {
        "SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2", "MASTER_PORT": "19",
        "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_STEP_ID": "0", "TMPDIR": str(tmp_path),
    }  # fmt: skip
    waiting = start("dataset=iris", **tasks, SLURM_PROCID="1", SLURM_LOCALID="1")
    time.sleep(3)
    waiting.send_signal(number)
    _, errors = waiting.communicate(30)
    assert (waiting.returncode, errors) == (code, "")
