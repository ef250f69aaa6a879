"""How many CPU threads a run gets: what the process may use, less what other processes use. Imports no torch.

Threads of OpenMP wait for each other by spinning. With one more than there are idle cores, all of them wait for the one
that is not running: a step takes several times as long as on one thread.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# A core that is idle for less than this share of the time is too busy for a thread that others wait for.
MOSTLY = 0.65
HARDLY_MORE = 1.1  # times the least time
LEAST = 0.5  # seconds that a choice looks back on; the counters tick in hundredths


@dataclass(frozen=True)
class Sample:
    """Counters of the CPUs that this process may run on.

    Args:
        clock: When they were read [s].
        busy: Time that each CPU has spent on any work since it started, by its number [ticks].
        total: Time since it started, by its number [ticks].
        own: CPU time of this process [s].
    """

    clock: float
    busy: dict[int, int]
    total: dict[int, int]
    own: float


def sample(source: Path = Path("/proc/stat")) -> Sample:
    """Read the counters; empty if the system has no /proc, or that of a container, which numbers CPUs its own way."""
    busy, total, own_cpus = {}, {}, allowed()
    try:
        lines = source.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in own_cpus:
            ticks = [int(number) for number in numbers[:8]]  # user nice system idle iowait irq softirq steal
            total[int(name[3:])] = sum(ticks)
            busy[int(name[3:])] = sum(ticks) - ticks[3] - ticks[4]
    if set(total) != own_cpus:
        busy, total = {}, {}
    return Sample(time.perf_counter(), busy, total, time.process_time())


def allowed() -> set[int]:
    """Return the numbers of the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return how many CPUs the control groups around this process grant it; None if they set no limit.

    Source: Linux kernel documentation, admin-guide/cgroup-v2 (``cpu.max``) and scheduler/sched-bwc
    (``cpu.cfs_quota_us`` of version 1).
    """
    return min((limit for folder in groups("cpu", root, own) for limit in _limit(folder)), default=None)


def groups(
    controller: str, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> Iterator[Path]:
    """Yield the folders of the control groups around this process, from the inside out: ``cpu``'s, or ``memory``'s.

    Some may not exist: a container sees its own folder as the outermost.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
        mounted = sorted(root.iterdir())
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        controllers = names.split(",")
        if names and controller not in controllers:
            continue
        # Version 1 has a folder for each set of controllers, whose name may have them in another order.
        base = next((folder for folder in mounted if sorted(folder.name.split(",")) == sorted(controllers)), root)
        below = base / path.strip("/")
        while below != base:
            yield below
            below = below.parent
        yield base


def _limit(folder: Path) -> list[float]:
    """Return a control group's own limit [CPUs], in a list that is empty if it has none."""
    try:
        if (unified := folder / "cpu.max").is_file():
            granted, period = unified.read_text(encoding="ascii").split()
        else:
            granted, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip() for name in ("quota", "period")
            )
        return [] if granted in ("max", "-1") else [int(granted) / int(period)]
    except (OSError, ValueError):
        return []


def others(before: Sample, now: Sample) -> float:
    """Return how many CPUs other processes kept busy between two samples [CPUs]."""
    elapsed = now.clock - before.clock
    counted = [cpu for cpu in now.total if now.total[cpu] > before.total.get(cpu, now.total[cpu])]
    if not counted or elapsed <= 0:
        return 0.0
    used = sum((now.busy[cpu] - before.busy[cpu]) / (now.total[cpu] - before.total[cpu]) for cpu in counted)
    return max(0.0, used - (now.own - before.own) / elapsed)


@dataclass(frozen=True)
class ThreadChoice:
    """How many threads, and why.

    Args:
        threads: To use.
        reason: Why there are more or fewer than CPUs; empty if there are as many.
    """

    threads: int
    reason: str = ""

    def __str__(self) -> str:
        """Return it in words.

        >>> str(ThreadChoice(2)), str(ThreadChoice(1, "as asked"))
        ('2 threads', '1 thread: as asked')
        """
        return f"{self.threads} thread{'s' * (self.threads != 1)}" + (f": {self.reason}" if self.reason else "")


def recommend(before: Sample, now: Sample, limit: float | None) -> ThreadChoice:
    """Return a thread for each core that is idle and granted to the process; at least one.

    Args:
        before: Earlier counters, half a second ago or more.
        now: Counters of now.
        limit: See :func:`quota`.

    >>> recommend(Sample(0, {0: 0, 1: 0}, {0: 0, 1: 0}, 0), Sample(2, {0: 200, 1: 100}, {0: 200, 1: 200}, 1), None)
    ThreadChoice(threads=1, reason='only 1.0 of 2 CPUs is idle')
    """
    shown = len(now.total) or len(allowed())
    granted = shown if limit is None else max(1, min(shown, int(limit + 0.01)))
    idle = shown - others(before, now)
    usable = max(1, int(idle + 1 - MOSTLY))
    if usable < granted:
        number = f"{max(idle, 0):.1f}"
        return ThreadChoice(usable, f"only {number} of {shown} CPUs {'is' if number == '1.0' else 'are'} idle")
    return ThreadChoice(granted, f"a control group grants {limit:g} CPU{'s' * (limit != 1)}" if granted < shown else "")


def fastest(seconds: Mapping[int, float]) -> ThreadChoice:
    """Return the number of threads that took the least time; the largest of those that took hardly more.

    Args:
        seconds: What the same work took, by the number of threads.

    >>> fastest({8: 1.05, 4: 1.0, 2: 1.6}), fastest({8: 3.0, 4: 1.0, 2: 1.6})
    (ThreadChoice(threads=8, reason=''), ThreadChoice(threads=4, reason='with 8 a product takes 3.0 times as long'))
    """
    least, most = min(seconds.values()), max(seconds)
    best = max(count for count, taken in seconds.items() if taken <= HARDLY_MORE * least)
    if best == most:
        return ThreadChoice(most)
    return ThreadChoice(best, f"with {most} a product takes {seconds[most] / seconds[best]:.1f} times as long")


def from_environment() -> ThreadChoice | None:
    """Return what ``OMP_NUM_THREADS`` says, of a list the first number; None if it is not set, or not a number."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return ThreadChoice(int(text), "set by OMP_NUM_THREADS") if text.isdecimal() and int(text) else None


class Watch:
    """Watches what other processes do, from when it is created.

    As a context it is the watch of the process, which :func:`current_watch` returns: the command line begins one before
    it imports torch, so that there is something to look back on when a run asks for threads.
    """

    def __init__(self) -> None:
        self.before = sample()
        self.newest: ThreadChoice | None = None
        self._token: Token[Watch | None] | None = None

    def choose(self) -> ThreadChoice | None:
        """Return the choice for the time since the one before, or since the start; the one before if that was just now.

        None if the watch is too young to know, or the system does not tell what is idle.
        """
        now = sample()
        if now.total and now.clock - self.before.clock >= LEAST:
            self.newest = recommend(self.before, now, quota())
            self.before = now
        return self.newest

    def __enter__(self) -> Self:
        self._token = _watch.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _watch.reset(self._token)


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


def current_watch() -> Watch:
    """Return the watch of the process; a new one, which knows nothing yet, if none has been begun."""
    return _watch.get() or Watch()
