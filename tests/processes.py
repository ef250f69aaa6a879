"""Several processes that train together, forked from the test: seconds of imports less than started ones."""

import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from trainctl.errors import TrainctlError
from trainctl.machine import environment
from trainctl.machine.environment import BY_US, Place
from trainctl.machine.link import Link
from trainctl.machine.rendezvous import join
from trainctl.machine.signals import ExitImmediately, Terminate
from trainctl.train import following, together

PATIENCE = 180.0  # for all processes to end, on a busy machine [s]


class Started:
    """Processes that were forked.

    Args:
        pids: Their numbers, by rank.
        pipes: What they return.
    """

    def __init__(self, pids: list[int], pipes: list[int]) -> None:
        self.pids, self.pipes = pids, pipes

    def results(self, patience: float = PATIENCE) -> list[Any]:
        """Wait for all of them; return their results, or, of those that failed, the exit code, or minus the signal."""
        end, codes = time.monotonic() + patience, dict[int, int]()
        contents = [b""] * len(self.pids)
        for pipe in self.pipes:
            os.set_blocking(pipe, False)
        while len(codes) < len(self.pids):
            for rank, (pid, pipe) in enumerate(zip(self.pids, self.pipes, strict=True)):
                with suppress(BlockingIOError):
                    contents[rank] += os.read(pipe, 1 << 20)
                if rank not in codes:
                    found, status = os.waitpid(pid, os.WNOHANG)
                    if found:
                        codes[rank] = os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(
                    f"processes {[rank for rank in range(len(self.pids)) if rank not in codes]} still run"
                )
            time.sleep(0.01)
        for rank, pipe in enumerate(self.pipes):
            while data := os.read(pipe, 1 << 20):
                contents[rank] += data
            os.close(pipe)
        return [pickle.loads(content) if content else codes[rank] for rank, content in enumerate(contents)]

    def kill(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def start(
    size: int, first: Callable[[], Any], others: Callable[[Link], Any] | None = None, by: str = "trainctl"
) -> Started:
    """Fork processes: the first one calls ``first``, the others follow it, or call ``others``; ``by`` is their launcher."""
    listening = socket.create_server(("127.0.0.1", 0))
    port, pids, pipes = listening.getsockname()[1], list[int](), list[int]()
    sys.stdout.flush()
    sys.stderr.flush()
    for rank in range(size):
        out, own = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(out)
            place = Place(rank, size, rank, size, "127.0.0.1", port, by)
            if rank:
                listening.close()
            else:
                os.environ[BY_US] = str(listening.fileno())
            _become(place, own, first if rank == 0 else others)
        os.close(own)
        pids.append(pid)
        pipes.append(out)
    listening.close()
    return Started(pids, pipes)


def _become(place: Place, pipe: int, work: Callable[..., Any] | None) -> None:
    code = 1
    try:
        environment.read = lambda: place if place.size > 1 else None  # type: ignore[assignment]
        signal.signal(
            signal.SIGINT, signal.default_int_handler
        )  # tests in the background, or under nohup, ignore these
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        ExitImmediately().__enter__()
        if place.size == 1:
            result = work() if work else None
        elif place.rank and work is None:
            os._exit(following.follow(place))
        else:
            link = join(place)
            together.enter_as(place, link)
            try:
                result = work(link) if place.rank else work()  # type: ignore[misc]
                code = 0
                if place.rank:
                    link.publish(f"left/{place.rank}", True)  # so that the first process does not wait
            finally:
                if place.rank == 0:
                    link.farewell(code)
        content = pickle.dumps(result)
        while content:
            content = content[os.write(pipe, content) :]
        code = 0
    except TrainctlError as error:
        print(f"[process {place.rank}] {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt as error:
        code = 143 if isinstance(error, Terminate) else 130
    except BaseException:  # noqa: BLE001 - a forked process must not return into the test
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def run(size: int, first: Callable[[], Any], others: Callable[[Link], Any] | None = None) -> list[Any]:
    """Run processes to their end, and return what they return."""
    return start(size, first, others).results()
