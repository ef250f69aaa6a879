"""Choose the number of CPU threads: the CPUs that the process may use, less those that others use. Imports no torch.

OpenMP threads wait for each other in busy loops. With one thread more than idle cores, all threads wait for the one that
is not running, and a step takes several times as long as on one thread.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from trainctl.wording import amount

# A core must be idle for at least this share of the time to get a thread, as the other threads wait for it.
MOSTLY = 0.65
HARDLY_MORE = 1.1  # factor on the shortest time, within which more threads are preferred
MOST = 1024  # threads, as in the setting; PyTorch raises an error for numbers that it cannot hold
LEAST = 0.5  # minimum seconds between two samples; the counters have a resolution of 0.01 s


@dataclass(frozen=True)
class Sample:
    """Counters of the CPUs that this process may run on.

    Args:
        clock: Time at which they were read [s].
        busy: Time that each CPU has worked since boot, by CPU number [ticks].
        total: Time since boot, by CPU number [ticks].
        own: CPU time of this process [s].
    """

    clock: float
    busy: dict[int, int]
    total: dict[int, int]
    own: float


def sample(source: Path = Path("/proc/stat")) -> Sample:
    """Read the counters; they are empty without /proc, or if /proc does not list all CPUs of the process (some containers)."""
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
    """Yield the directories of this process's control groups for ``cpu`` or ``memory``, from the innermost to the outermost.

    Some may not exist, since a container sees its own directory as the outermost.
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
        # Version 1 has a directory for each set of controllers; its name may list them in another order.
        base = next((folder for folder in mounted if sorted(folder.name.split(",")) == sorted(controllers)), root)
        below = base / path.strip("/")
        while below != base:
            yield below
            below = below.parent
        yield base


def _limit(folder: Path) -> list[float]:
    """Return a list with a control group's own limit [CPUs]; an empty list if it has no limit."""
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
    """A number of threads, and why it was chosen.

    Args:
        threads: Number of threads.
        reason: Why it differs from the number of CPUs; empty if it does not.
    """

    threads: int
    reason: str = ""

    def __str__(self) -> str:
        """Describe the choice in words.

        >>> str(ThreadChoice(2)), str(ThreadChoice(1, "set by OMP_NUM_THREADS"))
        ('2 threads', '1 thread: set by OMP_NUM_THREADS')
        """
        return amount(self.threads, "thread") + (f": {self.reason}" if self.reason else "")


def recommend(before: Sample, now: Sample, limit: float | None) -> ThreadChoice:
    """Recommend one thread for each core that is idle and that the process may use; at least one thread.

    Args:
        before: Earlier counters, read at least :data:`LEAST` before.
        now: Current counters.
        limit: The limit of control groups, see :func:`quota` [CPUs].

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
    return ThreadChoice(granted, f"a control group grants {amount(limit or 0, 'CPU')}" if granted < shown else "")


def fastest(seconds: Mapping[int, float]) -> ThreadChoice:
    """Return the largest number of threads whose time is at most 10 % longer than the shortest.

    Args:
        seconds: Time for the same work [s], by the number of threads.

    >>> fastest({8: 1.05, 4: 1.0, 2: 1.6}), fastest({8: 3.0, 4: 1.0, 2: 1.6})
    (ThreadChoice(threads=8, reason=''), ThreadChoice(threads=4, reason='a matrix product takes 3.0 times as long with 8'))
    """
    least, most = min(seconds.values()), max(seconds)
    best = max(count for count, taken in seconds.items() if taken <= HARDLY_MORE * least)
    if best == most:
        return ThreadChoice(most)
    return ThreadChoice(best, f"a matrix product takes {seconds[most] / seconds[best]:.1f} times as long with {most}")


def from_environment() -> ThreadChoice | None:
    """Return the number of threads in ``OMP_NUM_THREADS``, the first if it is a list; None if it is not set, or no such number."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    count = int(text) if text.isdecimal() and len(text) <= len(str(MOST)) else 0
    return ThreadChoice(count, "set by OMP_NUM_THREADS") if 0 < count <= MOST else None


class Watch:
    """Measures the CPU use of other processes, from its creation on.

    As a context manager, it becomes the process's watch, which :func:`current_watch` returns. The command line starts one
    before it imports torch, so that enough time has been measured when a run chooses its number of threads.
    """

    def __init__(self) -> None:
        self.before = sample()
        self.newest: ThreadChoice | None = None
        self._token: Token[Watch | None] | None = None

    def choose(self) -> ThreadChoice | None:
        """Return the choice for the time since the previous call, or the previous choice if less than :data:`LEAST` has passed.

        None if the watch has not measured for long enough, or the system does not report which CPUs are idle.
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
    """Return the process's watch; a new one, without measurements, if none was started."""
    return _watch.get() or Watch()
