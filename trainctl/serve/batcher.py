"""Compute the rows of several requests together: whatever has arrived while the model was busy is the next batch.

Nothing waits for a batch to fill up: a request that comes alone is computed alone, at once.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

Cells = list[list[str]]  # of each row
Compute = Callable[[Tensor], Cells]


@dataclass
class Job:
    """The rows of a request.

    Args:
        rows: Cleaned rows ``(N, *shape)``.
        future: Gets the cells of each row, or the error.
    """

    rows: Tensor
    future: "Future[Cells]" = field(default_factory=Future)


class Batcher:
    """Computes jobs in a thread of its own, several at a time.

    Args:
        compute: Returns the cells of rows.
        most_rows: Most rows that are computed together; a job with more is computed in parts.
    """

    def __init__(self, compute: Compute, most_rows: int) -> None:
        self.compute, self.most_rows = compute, most_rows
        self.jobs: deque[Job] = deque()
        self.changed = threading.Condition()
        self.closed = False
        self.batches = 0
        self.thread = threading.Thread(target=self._work, name="trainctl-batches", daemon=True)
        self.thread.start()

    def submit(self, rows: Tensor) -> "Future[Cells]":
        """Compute rows as soon as possible; one that is cancelled before its turn is not computed.

        Raises:
            RuntimeError: If the batcher is closed.
        """
        job = Job(rows)
        with self.changed:
            if self.closed:
                raise RuntimeError("the batcher is closed")
            self.jobs.append(job)
            self.changed.notify()
        return job.future

    def close(self) -> None:
        """Compute what is waiting, then end."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            self.batches += 1
            if len(jobs) == 1 or not self._together(jobs):
                for job in jobs:  # one of several failed: the others are not to blame
                    self._alone(job)

    def _next(self) -> list[Job]:
        """Wait for jobs; return those that are computed together, none once the batcher is closed and nothing waits."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.jobs or self.closed)
                if not self.jobs:
                    return []
                taken = [self.jobs.popleft()]
                rows = len(taken[0].rows)
                while self.jobs and rows + len(self.jobs[0].rows) <= self.most_rows:
                    taken.append(self.jobs.popleft())
                    rows += len(taken[-1].rows)
            if alive := [job for job in taken if job.future.set_running_or_notify_cancel()]:
                return alive

    def _together(self, jobs: Sequence[Job]) -> bool:
        """Compute jobs in one batch; return whether that succeeded."""
        try:
            cells = self.compute(torch.cat([job.rows for job in jobs]))
        except Exception:  # noqa: BLE001 - of the model, perhaps of one job: each is computed alone
            return False
        start = 0
        for job in jobs:
            job.future.set_result(cells[start : start + len(job.rows)])
            start += len(job.rows)
        return True

    def _alone(self, job: Job) -> None:
        try:
            job.future.set_result([row for part in job.rows.split(self.most_rows) for row in self.compute(part)])
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            job.future.set_exception(error)
