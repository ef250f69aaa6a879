"""The memory that there is, and that this process has taken."""

import math
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

from trainctl.machine.threads import groups


def free(device: torch.device) -> float:
    """Return the memory that a CPU's run may still take [bytes]; infinite where errors say that there is none left."""
    if device.type != "cpu":
        return math.inf
    found = [math.inf]
    with suppress(OSError, ValueError, IndexError):
        found.append(1024 * int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]))
    return min([*found, *left(groups("memory"))])


def left(folders: Iterator[Path]) -> Iterator[float]:
    """Yield what control groups leave of their memory [bytes], those that have a limit.

    Files that were read and are not in use count as taken, but give way.

    Source: Linux kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
    """
    for folder in folders:
        for most, taken in (("max", "current"), ("limit_in_bytes", "usage_in_bytes")):
            with suppress(OSError, ValueError):  # "max" is no limit
                limit, used = (int((folder / f"memory.{name}").read_text()) for name in (most, taken))
                stat = (folder / "memory.stat").read_text().split()
                names = ("total_inactive_file", "inactive_file")  # version 1 has both
                yield limit - used + next((int(stat[stat.index(name) + 1]) for name in names if name in stat), 0)


def peak() -> float:
    """Return the most memory that this process has had [bytes]; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else 1024 * most)
