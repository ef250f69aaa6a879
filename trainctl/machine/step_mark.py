"""A file on this machine that says whether the first process of a step of srun is not here yet, or has ended.

The first process holds the lock of the file for as long as it lives; whatever ends the process, its system releases the lock.
Before it ends by itself, it writes its exit code. The others leave the same file on their machines when they notice that the
first process is gone. A process that starts later finds a file that nobody has locked, and does not wait. Imports no torch.
"""

import os
import re
import stat
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

GONE = -1  # instead of an exit code: the first process was killed, or has disappeared
NAMES = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "SLURM_JOB_START_TIME")
# Somebody else may have put a link there, or a pipe, whose opening would wait for its other end.
UNTRUSTED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_held: list[int] = []  # the open file of the first process


def path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of this step; None outside of one, and where there is no lock that ends with its process."""
    if sys.platform == "win32" or not environment.get("SLURM_JOB_ID"):
        return None
    parts = [re.sub(r"\W", "", environment.get(name) or "0")[:40] for name in NAMES]
    return Path(tempfile.gettempdir()) / f"trainctl-step-{os.getuid()}-{'-'.join(parts)}"


def hold() -> None:
    """Say that the first process is here, for as long as this process lives; the first process calls this."""
    with suppress(OSError):  # without the file, the others wait as for a process that is late
        if (file := path()) is None or _held:
            return
        import fcntl

        own = file.with_name(f"{file.name}.{os.getpid()}")
        number = os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            own.replace(file)  # never seen without its lock
        except OSError:
            os.close(number)
            own.unlink()
            return
        _held.append(number)


def end(exit_code: int, *, everybody_knows: bool) -> None:
    """Write how the first process ends; if the others know, remove the file instead."""
    if not _held:
        return
    number = _held.pop()
    with suppress(OSError):
        if everybody_knows and (file := path()):
            file.unlink()
        else:
            os.write(number, str(exit_code).encode())
    os.close(number)


def leave() -> None:
    """Say on this machine that the first process is gone; a process that has noticed it calls this."""
    with suppress(OSError):
        if file := path():
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY | UNTRUSTED, 0o600))


def ended() -> int | None:
    """Return the exit code of the first process, or GONE; None if it lives, or is not here yet."""
    with suppress(OSError):
        if (file := path()) is None:
            return None
        import fcntl

        number = os.open(file, os.O_RDONLY | UNTRUSTED)
        try:
            found = os.fstat(number)
            if found.st_uid != os.getuid() or not stat.S_ISREG(found.st_mode):
                return None
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
            text = os.read(number, 8).decode(errors="replace")
        finally:
            os.close(number)
        return int(text) if text.isdecimal() else GONE
    return None
