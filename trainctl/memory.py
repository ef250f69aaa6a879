"""The memory that there is, and that this process has taken."""

import math
import sys
from contextlib import suppress
from pathlib import Path

import torch


def free(device: torch.device) -> float:
    """Return the memory that a CPU's run may still take [bytes]; infinite where errors say that there is none left."""
    if device.type != "cpu":
        return math.inf
    found = [math.inf]
    with suppress(OSError, ValueError, IndexError):
        found.append(1024 * int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]))
    with suppress(OSError, ValueError):  # a container's limit; "max" if there is none
        limit, used = (int(Path("/sys/fs/cgroup", f"memory.{name}").read_text()) for name in ("max", "current"))
        found.append(limit - used)
    return min(found)


def peak() -> float:
    """Return the most memory that this process has had [bytes]; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else 1024 * most)
