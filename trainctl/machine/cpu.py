"""The CPU that a run computes on: how many threads it uses, and memory that it keeps."""

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

SIDE, TIMES = 512, 5  # of the matrix product that is timed if the system does not tell what is idle
APART = 5.0  # seconds between two checks of what other processes do


def use_threads(setting: int | str | None) -> ThreadChoice:
    """Set how many threads compute on the CPU, and return the choice.

    Args:
        setting: A number; else ``OMP_NUM_THREADS`` of the environment decides, else what is idle, see
            :func:`trainctl.machine.threads.recommend`; where that is not known, a measurement.
    """
    choice = ThreadChoice(setting) if isinstance(setting, int) else threads.from_environment() or idle_or_measured()
    torch.set_num_threads(choice.threads)
    return choice


def idle_or_measured() -> ThreadChoice:
    """Return how many threads have a core of their own; by a measurement, if the system does not tell what is idle."""
    if choice := threads.current_watch().choose():
        return choice
    now = threads.sample()
    granted = threads.recommend(now, now, threads.quota())
    return granted if granted.threads == 1 else measured(granted.threads)


@cache
def measured(most: int) -> ThreadChoice:
    """Time a matrix product with that many threads, with half of them, and so on, and return the fastest number.

    Takes some 50 ms, once. Threads that share a core with other work, or run on a core that is much slower than the
    others, hold all of them up.
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
    """Notices when other work takes CPUs that a run's threads wait for, or gives them back.

    Args:
        device: Of the run; on any but a CPU nothing is checked.
        adapt: Whether to change the number of threads then, which may change the last bits of results; otherwise the
            user is told, once.
    """

    def __init__(self, device: torch.device, *, adapt: bool) -> None:
        self.device, self.adapt, self.told = device, adapt, False
        self.before, self.limit = threads.sample(), threads.quota()

    def check(self, note: Callable[[str], None]) -> None:
        """Check the time since the last check, if that was long enough ago."""
        if self.device.type != "cpu" or time.perf_counter() - self.before.clock < APART:
            return
        now = threads.sample()
        choice, used = threads.recommend(self.before, now, self.limit), torch.get_num_threads()
        self.before = now
        if self.adapt and choice.threads != used:
            torch.set_num_threads(choice.threads)
            note(f"now computing with {choice}")
        elif choice.threads < used and not self.told:
            self.told = True
            plural = "s" * (choice.threads != 1)
            reason = choice.reason or f"this process may use {choice.threads} CPU{plural}"
            note(
                f"{reason}, and {used} threads are competing for {'them' if plural else 'it'}: run fewer jobs,"
                f" or stop this one and resume it with threads={choice.threads} (or threads=adapt)"
            )


def keep_memory() -> None:
    """Have the C library keep freed memory, up to 2 GiB, instead of returning it to the system and asking for it anew.

    A step frees as much as it allocates. Pages that come from the system have to be cleared first, which takes a
    convolutional network a third of its time. Does nothing if the C library has no ``mallopt``.

    Source: GNU C library manual, malloc tunable parameters; numbers of the parameters: malloc.h.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        # M_MMAP_THRESHOLD [bytes]; glibc before 2.35 takes no more than 32 MiB.
        library.mallopt(-3, 1 << 30) or library.mallopt(-3, 1 << 25)
        library.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD [bytes]
