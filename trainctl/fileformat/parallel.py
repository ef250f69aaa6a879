"""Work on many items at once, in threads; results come in the order of the items. Imports no torch."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_WORKERS = 16
WAITING = 4  # results for each worker that may wait for who takes them


def workers() -> int:
    """Return how many processors this process may use, at most 16."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def ordered(function: Callable[[Item], Result], items: Iterable[Item], count: int | None = None) -> Iterator[Result]:
    """Yield what a function returns for each item, in their order; a few are worked on ahead of who takes them.

    An error of the function is raised where its result would have been, and nothing more is begun.

    Args:
        function: Releases Python's lock, as decoding an image does, or nothing is gained.
        items: What it is called with.
        count: Number of threads; None: one for each processor.

    >>> list(ordered(str.upper, "abc", 2))
    ['A', 'B', 'C']
    """
    count = count or workers()
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= WAITING * count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
