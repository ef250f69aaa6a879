"""Start the process from which workers are forked (:mod:`trainctl.sweep.zygote`), talk to it, and keep it alive. No torch here."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainctl.errors import UnavailableError
from trainctl.machine import memory, threads
from trainctl.store import files
from trainctl.sweep.messages import Channel, Message, wait_for
from trainctl.sweep.study import Study

POLL = 0.2  # seconds
MEMORY = 1.0e9  # bytes that a trial is taken to need, where sweep.workers=auto


class Nursery:
    """Starts workers: keeps the process from which they are forked, and starts it again if it is lost.

    Args:
        study: The sweep.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.exits = study, dict[int, int]()
        self.channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._trees: list[dict[str, Any]] = []
        self._gpus = 0

    def start(
        self, workers: int | str, trees: list[dict[str, Any]], meanwhile: Callable[[], None] = lambda: None
    ) -> int:
        """Start the process, let it read the data sets, and return how many workers there can be.

        Args:
            workers: Their number, or ``auto``.
            trees: The configuration of one trial on each data set.
            meanwhile: Called while the process starts.
        """
        self._trees = trees
        self._launch()
        meanwhile()
        self._await()
        if isinstance(workers, int):
            return workers
        if self._gpus:
            return self._gpus
        return max(1, min(len(threads.allowed()) // self.study.threads, int(memory.available() // MEMORY)))

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        code = "import os, sys; from trainctl.sweep.zygote import main; os._exit(main(int(sys.argv[1])))"
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
        log = files.open_to_append(self.study.held / "logs" / "workers.log")
        with theirs, os.fdopen(log, "ab"):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the pool only
            )
        self.channel = Channel(ours)
        self.channel.send({"read": self._trees})

    def _await(self) -> None:
        assert self.channel
        ready = self.channel.wait()
        if ready is None:
            raise UnavailableError(f"no worker can be started; see {self.study.home / 'logs' / 'workers.log'}")
        self._gpus = int(ready.get("gpus", 0)) if self.study.base.device in ("auto", "cuda") else 0

    def restart(self) -> None:
        """Start the process again; workers that it forked continue."""
        self.close()
        self._launch()
        self._await()

    def fork(self, slot: int) -> tuple[Channel, int]:
        """Return a new worker's channel and process."""
        for _ in range(3):
            assert self.channel
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    socket.send_fds(self.channel.connection, [b"%d" % (slot if self._gpus else -1)], [theirs.fileno()])
                except OSError:
                    self.channel.open = False
            while message := self.channel.wait():
                if "forked" in message:
                    return Channel(ours), message["forked"]
                self.note(message)
            ours.close()
            self.restart()
        raise UnavailableError(f"no worker can be started; see {self.study.home / 'logs' / 'workers.log'}")

    @property
    def channels(self) -> list[Channel]:
        """Return the channel to the process, if there is one."""
        return [self.channel] if self.channel else []

    def note(self, message: Message) -> None:
        """Remember a worker that ended."""
        if "exited" in message:
            self.exits[message["exited"]] = message["code"]

    def exit_code(self, pid: int) -> int | None:
        """Wait for the exit code of a worker that has closed its channel; None if it is not known."""
        deadline = time.monotonic() + 5
        while pid not in self.exits and self.channel and self.channel.open and time.monotonic() < deadline:
            if wait_for([self.channel], POLL):
                for message in self.channel.received():
                    self.note(message)
        return self.exits.pop(pid, None)

    def close(self) -> None:
        """End the process."""
        if self.channel:
            self.channel.close()
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        self.channel, self._process = None, None


def died(code: int | None) -> str:
    """Return why a process ended that said nothing, from its exit code as subprocess gives it.

    >>> died(-11), died(3)
    ('ended by signal SIGSEGV', 'exited with code 3')
    """
    if code is None:
        return "ended for an unknown reason"
    if code >= 0:
        return f"exited with code {code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
        return f"ended by signal {name}" + (", probably for lack of memory" if name == "SIGKILL" else "")
    return f"ended by signal {-code}"


def kill(pid: int, number: int) -> None:
    """Send a signal to a worker, which may have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
