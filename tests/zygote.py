"""Commands as processes of their own, without seconds of imports each.

A zygote is a process that has imported PyTorch and trainctl and computed nothing. For each command it forks, and the
child runs ``trainctl.__main__`` with the command's arguments, directory, environment, stdout and stderr. Signals, exit
codes and what reaches the streams are those of a real process. What a fork cannot show is a start from nothing: what is
imported when, which streams the shell closed. Tests of that start Python themselves.
"""

import atexit
import contextlib
import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

MEASURED = "COVERAGE_PROCESS_CONFIG"  # what pytest-cov leaves to processes that tests start
EAGER = os.environ.get("TRAINCTL_TEST_RECORD") == "never"  # as if that were the default of loop.record


def without_recording() -> None:
    """Take steps eagerly in this process, and in those forked from it, where loop.record is not given."""
    engine: Any = importlib.import_module("trainctl.step.engine")
    chosen = engine.accelerator
    engine.accelerator = lambda run: (None, "a test") if run.config.loop.record == "auto" else chosen(run)


def without_waiting_for_the_disk() -> None:
    """Make ``os.fsync`` only check its argument: no test cuts the power, and each of 30 calls a run waits milliseconds."""

    def fsync(handle: int) -> None:
        os.fstat(handle)

    os.fsync = fsync


class Process:
    """A command that runs; as much of subprocess.Popen as the tests need."""

    def __init__(self, stdout: IO[str], stderr: IO[str], answers: socket.socket) -> None:
        self.stdout: IO[str] | None = stdout  # None: closed by the test
        self.stderr = stderr
        self.returncode: int | None = None
        self._answers = answers
        self.pid = int(answers.recv(64))

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Read what is printed until it ends, and set the exit code."""
        with self._answers, self.stderr, ThreadPoolExecutor(2) as readers:
            out, err = (readers.submit(stream.read) if stream else None for stream in (self.stdout, self.stderr))
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(64))
            except TimeoutError:
                self.send_signal(signal.SIGKILL)
                raise
            texts = out.result() if out else "", err.result() if err else ""
        if self.stdout:
            self.stdout.close()
        return texts


class Zygote:
    """The process that forks, as the tests see it."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={key: value for key, value in os.environ.items() if key != MEASURED},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def start(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], ignored: Sequence[int] = ()
    ) -> Process:
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        answers, answers_end = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with answers_end:
            request = json.dumps([arguments, str(cwd), dict(environment), ignored]).encode()
            socket.send_fds(self._requests, [request], [out_end, err_end, answers_end.fileno()])
        os.close(out_end)
        os.close(err_end)
        return Process(os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"), answers)

    def close(self) -> None:
        self._requests.close()
        self._process.wait(timeout=30)


def serve(requests: socket.socket) -> None:
    """Fork for every request until the tests hang up; return in the process that is to run a command."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not request:
            os._exit(0)
        if os.fork() == 0:  # this one waits, the command is its child
            requests.close()
            answers = socket.socket(fileno=descriptors.pop())
            command = os.fork()
            if command == 0:
                answers.close()
                return become(*json.loads(request), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            answers.send(str(command).encode())
            answers.send(str(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])).encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def become(arguments: list[str], cwd: str, environment: dict[str, str], ignored: list[int], out: int, err: int) -> None:
    """Take on what distinguishes a command's process from the zygote."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, number in ((out, 1), (err, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # what is printed can be waited for, as with python -u
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background would ignore it
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    sys.argv, sys.path[0] = ["trainctl", *arguments], cwd
    if MEASURED in environment:
        importlib.import_module("coverage").process_startup(force=True)


def run() -> int:
    """Run the command and what Python does at an exit."""
    code: Any = 0
    try:
        runpy.run_module("trainctl", run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        code = ending.code
    except BaseException:  # noqa: BLE001 - as Python does
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        return 120
    return code or 0


def import_everything() -> None:
    """Import what commands import, early or late, and compute nothing: threads of a computation do not survive a fork."""
    for module in pkgutil.walk_packages(importlib.import_module("trainctl").__path__, "trainctl."):
        if module.name != "trainctl.__main__":
            importlib.import_module(module.name)
    for name in ("sklearn.datasets", "torch._dynamo"):  # what a data set and PyTorch's optimizers import
        importlib.import_module(name)
    importlib.import_module("trainctl.settings.compose").compose([])  # Hydra imports its plugins
    drawn = importlib.import_module("trainctl.report.canvas").figure(1, 1)  # matplotlib: half the time of a short run
    drawn.subplots().set_title("fonts")
    drawn.savefig(io.BytesIO(), format="png")
    without_waiting_for_the_disk()
    if EAGER:
        without_recording()


if __name__ == "__main__":
    import_everything()
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(run())  # objects are not torn down one by one: a second of work that shows nothing
