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
import itertools
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
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


class Forked:
    """A Python that a command starts, itself forked, since it would only import again what is there.

    As much of subprocess.Popen as `trainctl.sweep.nursery` and `trainctl.machine.launch` need. What the command has
    imported, opened and set is undone.
    """

    returncode: int | None = None
    modules: frozenset[str] = frozenset()  # of the zygote
    path: tuple[str, ...] = ()

    def __init__(
        self, typed: list[str], *, pass_fds: list[int], env: dict[str, str], stdin: int | None,
        start_new_session: bool, stdout: int | None = None, stderr: int | None = None,
    ) -> None:  # fmt: skip
        assert (typed[0], start_new_session, stdout) == (sys.executable, True, stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                code = self._become(typed[1:], pass_fds, env, stdin, stdout)
            except KeyboardInterrupt:  # before there is a program: Python ends by the signal
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.raise_signal(signal.SIGINT)
            except BaseException:  # noqa: BLE001 - as Python does
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)

    def _become(
        self, typed: list[str], kept: list[int], env: dict[str, str], stdin: int | None, log: int | None
    ) -> int:
        os.setsid()
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(env)
        if stdin is not None:
            with Path(os.devnull).open() as nothing:
                os.dup2(nothing.fileno(), 0)
        if log is not None:
            os.dup2(log, 1)
            os.dup2(log, 2)
        for first, last in itertools.pairwise([2, *sorted(kept), 4096]):
            os.closerange(first + 1, last)
        for name in set(sys.modules) - self.modules:
            del sys.modules[name]
        sys.path[:] = self.path
        if typed[:2] == ["-P", "-m"]:
            return run(typed[2], typed[3:])
        assert typed[:2] == ["-P", "-c"]
        assert "trainctl.sweep.zygote" in typed[2]
        return int(importlib.import_module("trainctl.sweep.zygote").main(int(typed[3])))

    def poll(self) -> int | None:
        if self.returncode is None and os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (timeout or 0)
        while self.returncode is None:
            if timeout is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("a process", timeout)
            ended, status = os.waitpid(self._pid, 0 if timeout is None else os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.005)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


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
    tempfile.tempdir = None  # looked up again, in TMPDIR
    for descriptor, number in ((out, 1), (err, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # what is printed can be waited for, as with python -u
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background would ignore it
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    sys.argv[1:], sys.path[0] = arguments, cwd
    if MEASURED in environment:
        importlib.import_module("coverage").process_startup(force=True)


def run(module: str, words: list[str]) -> int:
    """Run the command and what Python does at an exit."""
    code: Any = 0
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
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
        if module.name not in ("trainctl.__main__", "trainctl.worker"):  # run as programs
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
    Forked.modules, Forked.path = frozenset(sys.modules), tuple(sys.path[1:])
    for name in ("trainctl.sweep.nursery", "trainctl.machine.launch"):
        starting: Any = importlib.import_module(name)
        starting.subprocess = SimpleNamespace(**vars(subprocess) | {"Popen": Forked})


if __name__ == "__main__":
    import_everything()
    serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(run("trainctl", sys.argv[1:]))  # objects are not torn down one by one: a second of work that shows nothing
