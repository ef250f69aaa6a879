"""The workers of a pool on this machine: started when they are needed, heard, and ended. Imports no torch."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from trainctl.sweep.jobs import Worker
from trainctl.sweep.messages import Message, wait_for
from trainctl.sweep.nursery import Nursery, died, kill
from trainctl.sweep.study import Study


class Crew:
    """Keeps the workers of a pool, and the process from which they are forked.

    Args:
        study: The sweep.
    """

    def __init__(self, study: Study) -> None:
        self.nursery, self.workers = Nursery(study), list[Worker]()
        self.size = 1

    def start(self, workers: int | str, trees: list[dict[str, Any]], meanwhile: Callable[[], None]) -> None:
        """Start the process from which workers are forked; see :meth:`Nursery.start`."""
        self.size = self.nursery.start(workers, trees, meanwhile)

    @property
    def busy(self) -> list[Worker]:
        """Return the workers that train a trial."""
        return [worker for worker in self.workers if worker.key is not None]

    def free(self) -> Worker:
        """Return a worker without a trial; a new one if there is none."""
        free = next((worker for worker in self.workers if worker.key is None), None)
        if free is None:
            taken = {worker.slot for worker in self.workers}
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
            channel, pid = self.nursery.fork(slot)
            free = Worker(channel, pid, slot)
            self.workers.append(free)
        return free

    def heard(self, timeout: float) -> Iterator[tuple[Worker, Message]]:
        """Yield what workers say, after at most so many seconds."""
        channels = {worker.channel: worker for worker in self.workers}
        for channel in wait_for([*channels, *self.nursery.channels], timeout):
            for message in channel.received():
                if channel in channels:
                    yield channels[channel], message
                else:
                    self.nursery.note(message)

    def lost(self) -> Iterator[tuple[Worker, str]]:
        """Let go of the workers that have ended, and yield those that trained a trial, with the reason."""
        for worker in [worker for worker in self.workers if not worker.channel.open]:
            self.let_go(worker)
            if worker.key is not None:
                yield worker, worker.killed or died(self.nursery.exit_code(worker.pid))
        if not all(channel.open for channel in self.nursery.channels):
            self.nursery.restart()

    def let_go(self, worker: Worker) -> None:
        """Forget a worker that ends, or has ended."""
        if worker in self.workers:
            self.workers.remove(worker)
            worker.channel.close()

    def kill(self, worker: Worker, why: str = "") -> None:
        """Kill a worker; that it has ended is heard of like any other end."""
        worker.killed = worker.killed or why
        kill(worker.pid, signal.SIGKILL)

    def pause(self) -> None:
        """Ask all workers to save their trials and to pause them."""
        for worker in self.busy:
            kill(worker.pid, signal.SIGTERM)

    def without_step(self, limit: float) -> list[Worker]:
        """Return the workers whose trials have taken no step for so many seconds."""
        now = time.monotonic()
        return [worker for worker in self.busy if not worker.killed and now - worker.since > limit]

    def close(self) -> None:
        """Let all workers end, and the process from which they were forked; who still trains saves its trial first."""
        for worker in self.workers:
            worker.channel.send({"job": "end"})
            worker.channel.close()
        self.workers.clear()
        self.nursery.close()
