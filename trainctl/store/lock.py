"""One writer for each run directory: a lock file that names its process. Imports no torch.

The file is created with O_EXCL, which network file systems respect too; nothing relies on flock. A lock is taken over if
its process no longer runs: on this machine there is no such process, or it was started at another time. Nothing is
known of processes on another machine or in another container, so their locks are respected. A lock also names its
directory: one that was copied with it is nobody's.

A lock can be lost: a user removes it, or a process is suspended for so long that another one takes over. So it holds
a token that nobody can guess, and whoever holds it looks for that token before every change of the run: a lock that is
missing, or has another token, is not its own, whatever process it names. Between that look and the change a process may
be suspended, too. Therefore a lock has a fencing number, larger than those of all locks before it, which each checkpoint keeps:
what was written under an earlier lock never counts as newer, see :func:`trainctl.store.manifest.newest_first`.
"""

import hashlib
import json
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from trainctl.errors import CheckpointError, StorageError
from trainctl.settings import schema
from trainctl.store import files, records, runpath, typed
from trainctl.store.runpath import AnyPath, RunPath
from trainctl.store.typed import Count

NAME = "lock.json"
WAIT = 1.0  # seconds for which an empty lock file may be one that is being written
LARGEST = 65_536  # bytes of a lock file
LARGEST_MANIFEST = 256_000_000  # bytes


class LostLockError(StorageError):
    """Another process writes to the run now: this one must not, and trying again is of no use."""


@dataclass(frozen=True)
class Lock:
    """What a lock file says.

    Args:
        host: Name of the machine.
        namespace: What distinguishes containers that share it.
        pid: Number of the process.
        started: In which boot, and when since then, the process started; empty if unknown.
        since: When the lock was taken.
        token: Random; empty in locks of earlier versions.
        fence: Fencing number, larger than those of all locks before.
        machine: What distinguishes machines of the same name; empty if unknown.
        directory: Path of the run directory.
        inode: What distinguishes that directory from a copy of it, on the same machine.
    """

    host: str
    namespace: str
    pid: Annotated[int, "[1, inf)"]
    started: str
    since: str
    token: str = ""
    fence: Count = 0
    machine: str = ""
    directory: str = ""
    inode: str = ""


@contextmanager
def hold(directory: AnyPath) -> Iterator[str]:
    """Be the only writer of a run directory; yields a note if another process's lock was taken over, else "".

    Every change of the directory that goes through :mod:`trainctl.store.files` asks first whether that is still so.

    Raises:
        StorageError: If another process writes there, or the lock cannot be written.
    """
    held = runpath.hold(directory)
    mine, note = take(held)
    held.anchor.guard, held.anchor.fence = guard(held, mine), mine.fence
    try:
        yield note
    finally:
        with suppress(StorageError):
            files.remove(held / NAME)  # if it is still mine
        held.anchor.guard, held.anchor.fence = runpath.no_guard, 0


def take(directory: AnyPath) -> tuple[Lock, str]:
    """Create the lock; return it, and a note if another process's lock was taken over, else "".

    Raises:
        StorageError: If another process writes there, or the lock cannot be written.
    """
    held, note = runpath.hold(directory), ""
    path, mine = held / NAME, me(held)
    while not files.create(path, json.dumps(asdict(mine)).encode()):
        other = _read(path)
        copied = other is not None and _is_of_another(other, held)
        if other and not copied and not _gone(other):
            raise StorageError(_in_use(other, held))
        # Of several processes that take over at once, one gets the old lock; whoever gets a new one instead returns it.
        aside = held / f"{NAME}.{secrets.token_hex(8)}"
        if not files.rename(path, aside):
            continue
        if _content(aside) != other:
            files.put_back(aside, path)
            continue
        files.remove(aside)
        mine = me(held, at_least=other.fence + 1 if other else 0)
        note = f"took over {_owner(other, copied=copied)}"
    return mine, note


def _owner(other: Lock | None, *, copied: bool) -> str:
    if other is None:
        return "an empty lock"
    if copied:
        return f"the lock of process {other.pid}, which belongs to {other.directory}, not to this copy"
    return f"the lock of process {other.pid}, which no longer runs"


def _in_use(other: Lock, held: RunPath) -> str:
    who = f"process {other.pid} on {other.host} has been writing to this run since {other.since}"
    if _here(other):
        return f"{held}: {who}; wait for it or end it"
    moved = f", or if this is a copy of {other.directory} there" if other.directory else ""
    return f"{held}: {who}; if it no longer runs{moved}, remove {held / NAME}"


def guard(held: RunPath, mine: Lock) -> Callable[[], None]:
    """Return a function that raises an error if a lock is no longer held; once that is so, it stays so.

    For a moment a lock may be missing, while another process finds out that it cannot be taken over.
    """
    path, lost = held / NAME, ""

    def check() -> None:
        nonlocal lost
        end = time.monotonic() + WAIT
        while not lost and ((found := _content(path)) is None or found.token != mine.token):
            if found or (time.monotonic() > end and not runpath.kind(path)):
                lost = _lost(held, found)
            elif time.monotonic() > end:
                raise StorageError(f"{path}: cannot be read, so nothing is written to this run")
            else:
                time.sleep(WAIT / 20)
        if lost:
            raise LostLockError(lost)

    return check


def check(directory: AnyPath) -> None:
    """Check that the lock of a run is still held, if this process has taken it, and that nobody has taken a later one.

    Raises:
        LostLockError: If it was lost, for example because a user removed it while this process was suspended.
    """
    held = runpath.hold(directory)
    held.anchor.guard()
    if held.anchor.fence and highest_fence(held) > held.anchor.fence:
        raise LostLockError(f"{held}: another process has written a checkpoint since; this process stops writing them")


def _lost(held: RunPath, other: Lock | None) -> str:
    who = "its lock was removed"
    if other:
        who = f"process {other.pid} on {other.host} took over this run at {other.since}"
    elif runpath.identity(held.path) != runpath.identity(held):
        who = "the run directory was removed"
    return f"{held}: {who}; this process stops writing checkpoints"


def me(held: RunPath, at_least: int = 0) -> Lock:
    """Return the lock of this process.

    Args:
        held: The run's directory.
        at_least: Its fencing number; it is also larger than that of every checkpoint, and, by the clock, than that of
            a writer who has lost its lock and written none yet.
    """
    return Lock(
        host=platform.node(),
        namespace=_namespace(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        token=secrets.token_hex(16),
        fence=max(at_least, highest_fence(held) + 1, int(time.time() * 1000)),
        machine=_machine(),
        directory=os.path.abspath(held.path),  # noqa: PTH100 - follows no link
        inode=runpath.identity(held),
    )


def highest_fence(directory: AnyPath) -> int:
    """Return the highest fencing number of a run's checkpoints; 0 if there is none."""
    folder = runpath.hold(directory) / "checkpoints"
    try:
        names = [name for name in runpath.names(folder) if name.startswith("step-") and name.endswith(".json")]
    except CheckpointError:
        return 0
    return max((fence_of(folder / name) for name in names), default=0)


def fence_of(manifest: AnyPath) -> int:
    """Return the fencing number of a checkpoint, from its manifest; 0 if it has none, as those of earlier versions."""
    fence = records.read_json(manifest, LARGEST_MANIFEST).get("fence", 0)
    return int(fence) if schema.fits(fence, Count) else 0


def _read(path: RunPath) -> Lock | None:
    """Return the content of a lock; None if it stays without any for :data:`WAIT`."""
    end = time.monotonic() + WAIT
    while not (content := _content(path)) and runpath.kind(path) and time.monotonic() < end:
        time.sleep(WAIT / 20)
    return content


def _content(path: RunPath) -> Lock | None:
    with suppress(CheckpointError, typed.WrongTypeError):
        return typed.read(Lock, records.require_json(path, LARGEST))
    return None


def _here(other: Lock) -> bool:
    """Return whether a process is one of this machine, and of this container."""
    same = (other.host, other.namespace) == (platform.node(), _namespace())
    return same and other.machine in ("", _machine())


def _is_of_another(other: Lock, held: RunPath) -> bool:
    """Return whether a lock was copied, with its directory, from another directory of this machine."""
    here = runpath.identity(held)
    return bool(
        _here(other)
        and other.inode
        and here not in ("", other.inode)
        and runpath.identity(Path(other.directory)) != here  # some file systems change these numbers
    )


def _gone(other: Lock) -> bool:
    """Return whether it is certain that a process no longer runs."""
    if not _here(other) or os.name == "nt":
        return False
    try:
        os.kill(other.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # another user's
    return bool(_started(other.pid) != other.started)


def _started(pid: int) -> str:
    """Return in which boot, and when since then [ticks], a process started; "" if the system does not tell, or it ended."""
    with suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if state in "ZX" else f"{boot} {fields[18]}"  # proc(5): field 22 of all, 3 is the state
    return ""


def _namespace() -> str:
    """Return what distinguishes containers that share a host name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


@cache
def _machine() -> str:
    """Return what distinguishes machines that share a host name; "" if the system does not tell."""
    with suppress(OSError):
        text = Path("/etc/machine-id").read_text(errors="replace").strip()
        return hashlib.sha256(f"trainctl {text}".encode()).hexdigest()[:16] if text else ""
    return ""
