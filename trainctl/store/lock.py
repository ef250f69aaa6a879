"""One writer for a run's directory: a lock file that names its process. Imports no torch.

The file is made with O_EXCL, which network file systems keep too; nothing relies on flock. A lock whose process is gone
is taken over: the same machine, and no such process, or one that started at another time. Of another machine, or of
another container, nothing can be known, so its lock is refused.
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
from trainctl.store import files as storage

NAME = "lock.json"
WAIT = 1.0  # seconds for which a lock without content may be one that is being written


@contextmanager
def hold(directory: Path) -> Iterator[str]:
    """Be the only writer of a run's directory; yields what there is to say of a lock that was taken over, or "".

    Raises:
        StorageError: If another process writes there, or the lock cannot be written.
    """
    note = take(directory)
    try:
        yield note
    finally:
        if _content(directory / NAME).get("pid") == os.getpid():
            storage.remove(directory / NAME)


def take(directory: Path) -> str:
    """Make the lock; return what there is to say of one that was taken over.

    Raises:
        StorageError: If another process writes there, or the lock cannot be written.
    """
    path, note = directory / NAME, ""
    content = json.dumps(_me()).encode()
    while not storage.create(path, content):
        other = _read(path)
        if other and not _gone(other):
            who = f"process {other['pid']} on {other['host']} has been writing to this run since {other['since']}"
            told = "wait for it or end it" if _here(other) else f"if it does so no more, remove {path}"
            raise StorageError(f"{directory}: {who}; {told}")
        # Of several that take over, one gets the old lock; who gets a new one instead, gives it back.
        aside = path.with_name(f"{NAME}.{os.getpid()}")
        if not storage.rename(path, aside):
            continue
        if _content(aside) != other:
            storage.rename(aside, path)
            continue
        storage.remove(aside)
        note = f"took over the lock of process {other['pid']}, which is gone" if other else "took over an empty lock"
    return note


def check(directory: Path) -> None:
    """See that no other process has come to hold the lock: one that was told to remove it, or came while this one slept.

    Raises:
        StorageError: If one has.
    """
    other, me = _content(directory / NAME), _me()
    if other and any(other[key] != me[key] for key in ("host", "namespace", "pid", "started")):
        who = f"process {other['pid']} on {other['host']} has taken over this run at {other['since']}"
        raise StorageError(f"{directory}: {who}; this one writes no more checkpoints")


def _me() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "namespace": _namespace(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _read(path: Path) -> dict[str, Any]:
    """Return a lock's content; empty if there is none even after a while."""
    end = time.monotonic() + WAIT
    while not (found := _content(path)) and path.exists() and time.monotonic() < end:
        time.sleep(WAIT / 20)
    return found


def _content(path: Path) -> dict[str, Any]:
    with suppress(CheckpointError):
        found = read_json(path, CheckpointError)
        if isinstance(found, dict) and set(found) == set(_me()) and isinstance(found["pid"], int):
            return found
    return {}


def _here(other: dict[str, Any]) -> bool:
    return (other["host"], other["namespace"]) == (platform.node(), _namespace())


def _gone(other: dict[str, Any]) -> bool:
    """Say whether the process is known to be no more."""
    if not _here(other) or os.name == "nt":
        return False
    try:
        os.kill(other["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # another user's
    return bool(_started(other["pid"]) != other["started"])


def _started(pid: int) -> str:
    """Return which boot and when since then [ticks] a process started; "" where the system does not say, or it ended."""
    with suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if state in "ZX" else f"{boot} {fields[18]}"  # proc(5): field 22 of all, 3 is the state
    return ""


def _namespace() -> str:
    """Return what tells containers apart that share a host's name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
