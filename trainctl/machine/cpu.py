"""Set up the CPU for a run: the number of threads, and the C library's memory allocation."""

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import torch

from trainctl.machine import threads
from trainctl.machine.threads import ThreadChoice
from trainctl.wording import agree, amount

SIDE, TIMES = 512, 5  # size of the timed matrix product, and how often it is timed
APART = 5.0  # seconds between two checks of the CPU's load


def use_threads(setting: int | str | None) -> ThreadChoice:
    """Set how many threads compute on the CPU, and return the choice.

    Args:
        setting: The number of threads; if it is not a number, the environment variable ``OMP_NUM_THREADS`` decides. If
            that is not set, there is a thread for each idle CPU, see :func:`trainctl.machine.threads.recommend`; if the
            system does not report which are idle, a measurement decides.
    """
    choice = ThreadChoice(setting) if isinstance(setting, int) else threads.from_environment() or idle_or_measured()
    torch.set_num_threads(choice.threads)
    return choice


def idle_or_measured() -> ThreadChoice:
    """Return how many threads can have a core of their own; measure it if the system does not report which cores are idle."""
    if choice := threads.current_watch().choose():
        return choice
    now = threads.sample()
    granted = threads.recommend(now, now, threads.quota())
    return granted if granted.threads == 1 else measured(granted.threads)


@cache
def measured(most: int) -> ThreadChoice:
    """Time a matrix product with ``most`` threads, with half of them, and so on; return the fastest number of threads.

    This takes some 50 ms, once. A thread that shares a core with other work, or runs on a much slower core, delays all
    other threads.
    """
    square, seconds, count = torch.ones(SIDE, SIDE), {}, most
    while count:
        torch.set_num_threads(count)
        times = []
        for _ in range(TIMES + 1):
            start = time.perf_counter()
            square @ square
            times.append(time.perf_counter() - start)
        seconds[count] = statistics.median(times[1:])  # the first one starts the threads
        count //= 2
    return threads.fastest(seconds)


class ThreadMonitor:
    """Checks whether other processes use CPUs that a run's threads need, or no longer use them.

    Args:
        device: The run's device; nothing is checked unless it is a CPU.
        adapt: Whether to change the number of threads, which may change the last bits of results; if not, the user is
            advised to do so, once.
    """

    def __init__(self, device: torch.device, *, adapt: bool) -> None:
        self.device, self.adapt, self.advised = device, adapt, False
        self.before, self.limit = threads.sample(), threads.quota()

    def check(self, note: Callable[[str], None]) -> None:
        """Check the load since the last check, if that was at least :data:`APART` ago; report a shortage of CPUs with ``note``."""
        if self.device.type != "cpu" or time.perf_counter() - self.before.clock < APART:
            return
        now = threads.sample()
        choice, used = threads.recommend(self.before, now, self.limit), torch.get_num_threads()
        self.before = now
        if self.adapt and choice.threads != used:
            torch.set_num_threads(choice.threads)
            note(f"now computing with {choice}")
        elif choice.threads < used and not self.advised:
            self.advised = True
            reason = choice.reason or f"this process may use {amount(choice.threads, 'CPU')}"
            note(
                f"{reason}, and {used} threads are competing for {agree(choice.threads, 'it', 'them')}: run fewer jobs,"
                f" or stop this one and resume it with threads={choice.threads} (or threads=adapt)"
            )


def keep_memory() -> None:
    """Make the C library keep freed memory, up to 2 GiB, instead of returning it to the system.

    A step frees as much as it allocates. The system clears every page that it hands out, which takes a third of the time
    of a convolutional network. This does nothing if the C library has no ``mallopt``.

    Source: GNU C library manual, malloc tunable parameters; numbers of the parameters: malloc.h.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        # M_MMAP_THRESHOLD [bytes]; glibc before 2.35 accepts at most 32 MiB.
        library.mallopt(-3, 1 << 30) or library.mallopt(-3, 1 << 25)
        library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD [bytes]
