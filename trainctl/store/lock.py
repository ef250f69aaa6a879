"""Allow one writer per run directory, with a lock file that names the writing process. Imports no torch.

The file is created with O_EXCL, which works on network file systems, too; flock is not used. A lock is taken over if its
process no longer runs: this machine has no process of that number, or that process was started at another time. Whether a
process on another machine or in another container runs is unknown, so its lock is never taken over.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError, StorageError
from trainctl.fileformat.json_text import read_json
from trainctl.store import files

NAME = "lock.json"
WAIT = 1.0  # seconds for which an empty lock file may still be being written


@contextmanager
def hold(directory: Path) -> Iterator[str]:
    """Hold the lock of a run directory; yield a note if another process's lock was taken over, else "".

    Raises:
        StorageError: If another process is writing to the run, or the lock cannot be written.
    """
    note = take(directory)
    try:
        yield note
    finally:
        if _content(directory / NAME).get("pid") == os.getpid():
            files.remove(directory / NAME)


def take(directory: Path) -> str:
    """Create the lock; return a note if another process's lock was taken over, else "".

    Raises:
        StorageError: If another process is writing to the run, or the lock cannot be written.
    """
    path, note = directory / NAME, ""
    content = json.dumps(_me()).encode()
    while not files.create(path, content):
        other = _read(path)
        if other and not _gone(other):
            who = f"process {other['pid']} on {other['host']} has been writing to this run since {other['since']}"
            advice = "wait for it or end it" if _here(other) else f"if it no longer runs, remove {path}"
            raise StorageError(f"{directory}: {who}; {advice}")
        # If several processes take over at once, one renames the old lock; another may rename a new lock, and puts it back.
        aside = path.with_name(f"{NAME}.{os.getpid()}")
        if not files.rename(path, aside):
            continue
        if _content(aside) != other:
            files.rename(aside, path)
            continue
        files.remove(aside)
        owner = f"the lock of process {other['pid']}, which no longer runs" if other else "an empty lock"
        note = f"took over {owner}"
    return note


def check(directory: Path) -> None:
    """Check that no other process has taken over the lock: because the user removed it, or while this process was suspended.

    Raises:
        StorageError: If another process has.
    """
    other, me = _content(directory / NAME), _me()
    if other and any(other[key] != me[key] for key in ("host", "namespace", "pid", "started")):
        who = f"process {other['pid']} on {other['host']} took over this run at {other['since']}"
        raise StorageError(f"{directory}: {who}; this process stops writing checkpoints")


def _me() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "namespace": _namespace(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a lock; an empty dict if the file is still empty after :data:`WAIT`."""
    end = time.monotonic() + WAIT
    while not (content := _content(path)) and path.exists() and time.monotonic() < end:
        time.sleep(WAIT / 20)
    return content


def _content(path: Path) -> dict[str, Any]:
    with suppress(CheckpointError):
        content = read_json(path, CheckpointError)
        if isinstance(content, dict) and set(content) == set(_me()) and isinstance(content["pid"], int):
            return content
    return {}


def _here(other: dict[str, Any]) -> bool:
    return (other["host"], other["namespace"]) == (platform.node(), _namespace())


def _gone(other: dict[str, Any]) -> bool:
    """Return whether it is certain that a process no longer runs."""
    if not _here(other) or os.name == "nt":
        return False
    try:
        os.kill(other["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # the process exists, and belongs to another user
    return bool(_started(other["pid"]) != other["started"])


def _started(pid: int) -> str:
    """Return the id of the boot and the ticks from that boot to the start of a process.

    "" if the process has ended or the system has no /proc.
    """
    with suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if state in "ZX" else f"{boot} {fields[18]}"  # proc(5): state is field 3, starttime is field 22
    return ""


def _namespace() -> str:
    """Return the PID namespace, which differs between containers that share a host name; "" if it is unknown."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
