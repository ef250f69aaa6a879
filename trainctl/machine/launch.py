"""Start the processes of a run on this machine, pass signals on to them, and find out why they ended. Imports no torch.

The first process gets the words of the command; it composes the configuration, writes and prints. The others get no words:
they learn from the first one what to train. Each is in a session of its own, so Ctrl-C reaches only the launcher, which
passes it on. A socket connects each process with the launcher: a process reports what must be known if it is killed, and
notices at once that the launcher is gone, whatever has ended it.
"""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from trainctl.errors import UnavailableError
from trainctl.machine.environment import BY_US
from trainctl.machine.signals import SAVE, STOP
from trainctl.wording import shell_words

LAUNCHER = "TRAINCTL_LAUNCHER"  # the number of the socket to the launcher
# The stack traces of torch's own connections; a process that ends before the others have joined is no news to the user.
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
GONE = 75  # exit code of a process that left because another one had left; never that of the command
LOOK = 0.03  # between two looks at the processes [s]
LEAVE = 5.0  # for the others to leave by themselves after one has ended [s]
SAVING = 30.0  # for a process without a launcher to save the run [s]
AGAIN = 7  # exit code after which a run may be resumed: what the machine lacked, it may have again
LARGEST = 1 << 16  # bytes of a message
ADVICE = "; resume with: "


@dataclass
class Child:
    """A process of the run, as the launcher sees it.

    Args:
        rank: Its rank.
        process: The process.
        socket: The connection to it.
        text: Bytes of a message that is not complete yet.
    """

    rank: int
    process: subprocess.Popen[bytes]
    socket: socket.socket
    text: bytes = b""

    @property
    def code(self) -> int | None:
        """Its exit code, minus the number of the signal that killed it; None while it runs."""
        return self.process.poll()


@dataclass
class Launch:
    """The processes of one attempt.

    Args:
        children: By rank.
        sent: Signals that were passed on to all of them, in order.
        told: What the first process reported.
        ended: Processes that were ended by the launcher.
    """

    children: list[Child]
    sent: list[int] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)


def run(words: Sequence[str], count: int, *, restarts: int, timeout: float, note: Callable[[str], None]) -> int:
    """Run a command in several processes, and return its exit code: that of the process that failed.

    Args:
        words: The words of the command.
        count: Number of processes.
        restarts: How often a run is resumed after a process was killed or has disappeared.
        timeout: For the first process to end after another one has failed [s].
        note: Shows a line to the user.

    Raises:
        UnavailableError: If a process was killed or has disappeared.
    """
    left = restarts
    while True:
        attempt = _start(words, count)
        _wait(attempt, timeout)
        code, message = outcome(attempt)
        directory = attempt.told.get("directory")
        if code == AGAIN and left and directory and not attempt.sent:
            left -= 1
            what = message.partition(ADVICE)[0] or "the run has failed"
            note(f"{what}; resuming it, {left} of {restarts} restarts are left")
            own = attempt.told.get("components") or []
            words = ["resume", directory, *([f"components=[{','.join(own)}]"] if own else [])]
            continue
        if message:
            raise _error(message, code)
        return code


def _error(message: str, code: int) -> UnavailableError:
    error = UnavailableError(message)
    error.exit_code = code
    return error


def _start(words: Sequence[str], count: int) -> Launch:
    listening = socket.create_server(("127.0.0.1", 0))  # handed over open: nobody else can get the port
    port, children = listening.getsockname()[1], []
    with listening:
        for rank in range(count):
            own, theirs = socket.socketpair()
            place = {
                "RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count,
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, BY_US: listening.fileno(), LAUNCHER: theirs.fileno(),
            }  # fmt: skip
            with theirs:
                worker = [sys.executable, "-P", "-m", "trainctl.worker"]  # -P: not of this directory
                process = subprocess.Popen(
                    [*worker, *([] if rank else words)],
                    env=QUIET | os.environ | _found() | {key: str(value) for key, value in place.items()},
                    stdin=subprocess.DEVNULL if rank else None,
                    pass_fds=[theirs.fileno(), *([] if rank else [listening.fileno()])],
                    start_new_session=True,
                )
            own.setblocking(False)
            children.append(Child(rank, process, own))
    return Launch(children)


def _found() -> dict[str, str]:
    """Return what lets a new Python find trainctl where this one has, e.g. in a checkout that is not installed."""
    root = str(Path(__file__).parents[2])
    if root in sys.path:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), root]))}


def _wait(attempt: Launch, timeout: float) -> None:
    """Wait until all processes have ended; pass signals on to them, and end those that others wait for in vain."""
    before = _install(attempt)
    first, failed_at, alone_at = attempt.children[0], None, None
    try:
        while any(child.code is None for child in attempt.children):
            for child in attempt.children:
                _receive(child, attempt.told)
            now = time.monotonic()
            if first.code is not None:
                alone_at = alone_at or now
                _end_others(attempt, now - alone_at)
            elif any(child.code not in (None, 0) for child in attempt.children):
                failed_at = failed_at or now
                _end_all(attempt, now - failed_at, timeout)
            time.sleep(LOOK)
        for child in attempt.children:
            _receive(child, attempt.told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        for child in attempt.children:  # an error of the launcher leaves nothing running
            if child.code is None:
                child.process.kill()
                child.process.wait()
            child.socket.close()


def _install(attempt: Launch) -> dict[int, object]:
    """Pass signals on from now on; a third Ctrl-C kills. Return the handlers before."""

    def forward(number: int, frame: FrameType | None) -> None:
        if number != SAVE:
            attempt.sent.append(number)
        elif "directory" not in attempt.told:  # nothing to save, and Python kills a process that has just started
            return
        if attempt.sent.count(signal.SIGINT) > 2:
            number = signal.SIGKILL
        for child in attempt.children:
            _send(child, number)

    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [*STOP, *([] if SAVE is None else [SAVE])]
    return {
        number: signal.signal(number, forward) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN
    }


def _send(child: Child, number: int) -> None:
    if child.code is None:
        with suppress(ProcessLookupError):
            child.process.send_signal(number)


def _end_others(attempt: Launch, seconds: float) -> None:
    """End what is left after the first process has ended: there is nothing to wait for."""
    for child in attempt.children[1:]:
        if child.code is None and seconds > LEAVE / 2:
            attempt.ended.add(child.rank)
            _send(child, signal.SIGTERM if seconds < LEAVE else signal.SIGKILL)


def _end_all(attempt: Launch, seconds: float, timeout: float) -> None:
    """End the processes that do not notice that another one has failed; the first one may take its time to save."""
    stopped = any(child.code is not None and (child.code < 0 or child.code in (130, 143)) for child in attempt.children)
    leave = LEAVE / 10 if stopped and "directory" not in attempt.told else LEAVE  # nothing to save
    for child in attempt.children:
        if child.code is None and seconds > leave and child.rank not in attempt.ended:
            attempt.ended.add(child.rank)
            _send(child, signal.SIGTERM)
        if child.code is None and seconds > (2 * LEAVE if child.rank else LEAVE + timeout):
            _send(child, signal.SIGKILL)


def _receive(child: Child, told: dict[str, Any]) -> None:
    """Read what a process reports."""
    with suppress(OSError):
        while data := child.socket.recv(LARGEST):
            *lines, child.text = (child.text + data).split(b"\n")
            for line in lines:
                told.update(json.loads(line))


def outcome(attempt: Launch) -> tuple[int, str]:
    """Return the exit code of the command, and a message if no process has printed one."""
    codes = [child.code or 0 for child in attempt.children]
    told, first = attempt.told, codes[0]
    own = [
        (rank, code) for rank, code in enumerate(codes) if rank not in attempt.ended
    ]  # those that ended by themselves
    killed = [(rank, -code) for rank, code in own if code < 0 and -code not in attempt.sent]
    failed = [rank for rank, code in own if code > 0 and code != GONE]
    if 0 in attempt.ended and failed and not killed:  # before the others knew of each other
        rank, code, reason = failed[0], codes[failed[0]], told.get("stopped", "")
        by_us = reason and not attempt.sent and code not in (130, 143)  # the launcher has stopped the first process
        return code, f"process {rank} on {platform.node()} has ended with exit code {code}" if by_us else reason
    if first >= 0 and first != GONE and not (killed and 0 in attempt.ended):
        return first, ""
    state = f"; the state at step {told['saved']} is saved" if "saved" in told else ""
    if state and told.get("shares"):  # steps since then are lost
        which = f"that of step {told['saved']}, as each process had a share of {told['shares']}"
        state = f"; the newest checkpoint is {which}"
    advice = f"{ADVICE}{shell_words(['trainctl', 'resume', told['directory']])}" if "directory" in told else ""
    if killed:
        rank, number = killed[0]
        name = signal.Signals(number).name if number in {each.value for each in signal.Signals} else f"signal {number}"
        memory = ", as when memory runs out" if number == signal.SIGKILL else ""
        return AGAIN, f"process {rank} on {platform.node()} was killed ({name}){memory}{state}{advice}"
    if "stopped" in told:  # by a signal to the first process
        return told["code"], told["stopped"]
    if attempt.sent:
        return 128 + attempt.sent[0] if attempt.sent[0] == signal.SIGINT else 143, f"stopped{state}{advice}"
    return AGAIN, f"{told.get('gone', 'a process has disappeared without a message')}{state}{advice}"


# In the processes that were started:

_launcher: list[socket.socket] = []


def launched() -> bool:
    """Return whether this process was started by a launcher."""
    return bool(_launcher)


def watch() -> None:
    """Connect to the launcher, and stop this process if the launcher is gone."""
    number = os.environ.pop(LAUNCHER, "")
    if not number:
        return
    connection = socket.socket(fileno=int(number))
    connection.setblocking(True)
    _launcher.append(connection)
    threading.Thread(target=_watch, args=[connection], daemon=True, name="watch of the launcher").start()


def _watch(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(LARGEST):
            pass
    os.kill(os.getpid(), signal.SIGTERM)  # the run is saved after this step
    time.sleep(SAVING)
    os._exit(GONE)


def tell(message: dict[str, Any]) -> None:
    """Report to the launcher, if there is one."""
    for connection in _launcher:
        with suppress(OSError):
            connection.sendall(json.dumps(message).encode() + b"\n")
