"""The memory that is available, and the memory that this process has used."""

import ctypes
import gc
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainctl.machine.threads import groups

if TYPE_CHECKING:
    import torch


@contextmanager
def without_collections() -> Iterator[None]:
    """Create many objects that stay, without looking for garbage among them again and again, which takes as long."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def free(device: "torch.device") -> float:
    """Return the memory that a run on a CPU can still use [bytes].

    Infinity for a GPU, where a failed allocation raises an error that can be handled.
    """
    return available() if device.type == "cpu" else math.inf


def available() -> float:
    """Return the memory that processes can still use, within the limits of their control group [bytes]."""
    limits = [math.inf]
    with suppress(OSError, ValueError, IndexError):
        limits.append(1024 * int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]))
    return min([*limits, *left(groups("memory"))])


def left(folders: Iterator[Path]) -> Iterator[float]:
    """Yield the memory that control groups can still use within their limits [bytes].

    Cached files count as used, but are evicted when memory is needed.

    Source: Linux kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
    """
    for folder in folders:
        for limit_name, used_name in (("max", "current"), ("limit_in_bytes", "usage_in_bytes")):
            with suppress(OSError, ValueError):  # "max" is no limit
                limit, used = (int((folder / f"memory.{name}").read_text()) for name in (limit_name, used_name))
                stat = (folder / "memory.stat").read_text().split()
                names = ("total_inactive_file", "inactive_file")  # version 1 has both
                yield limit - used + next((int(stat[stat.index(name) + 1]) for name in names if name in stat), 0)


def give_back() -> None:
    """Return freed memory to the system, of which the C library may keep hundreds of megabytes; only glibc can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def peak() -> float:
    """Return the peak memory use of this process [bytes]; 0 if it is unknown."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else 1024 * most)
