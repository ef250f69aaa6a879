"""Build runs in a directory that has no name yet, and remove what processes left that were killed while they did. No torch.

The directory's name says which process builds in it, so that there is no moment at which it belongs to nobody::

    <root>/.making-<process>-<where>-<when>-<random>/

``where`` identifies the machine and the container, ``when`` the boot and the start of the process. It is removed once this
machine has no such process any more. That a process of another machine has ended is not known, so what it left stays.
"""

import hashlib
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainctl.errors import TrainctlError
from trainctl.machine import identity
from trainctl.store import directories, lock, rundir, runfile, runpath

NAME = re.compile(r"\.making-(?P<pid>[1-9]\d{0,9})-(?P<where>[0-9a-f]{8})-(?P<when>[0-9a-f]{8})-[0-9a-f]{12}")
EARLIER = re.compile(r"\.making-[0-9a-f]{12}")  # of versions that did not name the process
ABANDONED = 3600.0  # age of such an earlier one that nobody writes to any more [s]


@contextmanager
def building(root: Path) -> Iterator[Path]:
    """Remove what was left below a root, and yield a new path to build in, which is removed at the end of the block.

    Args:
        root: The directory in which the runs get their names.
    """
    remove_abandoned(root)
    path = root / f".making-{os.getpid()}-{_where()}-{_when(os.getpid())}-{secrets.token_hex(6)}"
    try:
        yield path
    finally:
        rundir.remove(path)


def remove_abandoned(root: Path) -> None:
    """Remove what processes have left below a root that were killed while they built a run; no link is followed."""
    with suppress(OSError, TrainctlError):
        for path in (
            root / name for name in runfile.names(root) if name.startswith(".making-")
        ):  # perhaps a user's own
            if stat.S_ISDIR(path.lstat().st_mode) and (_is_abandoned(path.name) or _is_old(path)):
                with suppress(TrainctlError):
                    directories.remove_tree(path)


def _is_abandoned(name: str) -> bool:
    """Return whether the process that a directory's name names has run here, and has ended."""
    found = NAME.fullmatch(name)
    return bool(found and found["where"] == _where() and lock.has_ended(int(found["pid"]), found["when"], _when))


def _is_old(path: Path) -> bool:
    """Return whether an earlier version has left a directory: it is old, and no process holds a lock in it."""
    if not EARLIER.fullmatch(path.name) or time.time() - path.lstat().st_mtime < ABANDONED:
        return False
    with suppress(TrainctlError):  # another process holds the lock
        held = runpath.hold(path) / "run"
        if runpath.kind(held) == "a directory":
            with lock.hold(runpath.enter(held)):
                pass
        return True
    return False


def _where() -> str:
    return _digest(f"{platform.node()} {identity.machine()} {identity.namespace()}")


def _when(pid: int) -> str:
    return _digest(identity.started(pid))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
