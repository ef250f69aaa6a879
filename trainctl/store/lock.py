"""Allow one writer per run directory, with a lock file that names the writing process. Imports no torch.

The file is created with O_EXCL, which works on network file systems, too; flock is not used. A lock is taken over if its
process no longer runs: this machine has no process of that number, or that process was started at another time. Whether a
process on another machine or in another container runs is unknown, so its lock is never taken over. A lock also names its
directory, so that the lock in a copy of a run is recognised as that of the original.

A process can lose its lock: the user removes it while the process is suspended, for example, and another process resumes
the run. Therefore a lock contains a random token, and before each change of the run its holder checks that the file still
has this token: if the file is missing, or has another token, the lock is lost, whichever process the file names.

A process may also be suspended between this check and the change. Therefore each holder has a fencing number, larger than
those of all earlier holders, and saves it in its checkpoints: a checkpoint of an earlier holder is never the newest, and
a holder that finds a checkpoint with a larger number than its own stops writing. See
:func:`trainctl.store.manifest.newest_first`.
"""

import json
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from trainctl.errors import CheckpointError, StorageError
from trainctl.machine import identity
from trainctl.settings import schema
from trainctl.store import files, records, runfile, runpath, typed
from trainctl.store.runpath import AnyPath, RunPath
from trainctl.store.typed import Count

NAME = "lock.json"
WAIT = 1.0  # seconds for which an empty lock file may still be being written
LARGEST = 65_536  # bytes of a lock file
LARGEST_MANIFEST = 256_000_000  # bytes


class LostLockError(StorageError):
    """Raised if another process may be writing to the run now; retrying is useless."""


@dataclass(frozen=True)
class Lock:
    """The content of a lock file.

    Args:
        host: Name of the machine.
        namespace: Identifies the container among those with the same host name.
        pid: Number of the process.
        started: The boot, and the time since then, at which the process started; empty if unknown.
        since: Date and time at which the lock was taken.
        token: Random text; empty in locks of earlier versions.
        machine: Identifies the machine among those of the same name; empty if unknown.
        directory: Path of the run directory.
        inode: Identifies the run directory on its machine.
    """

    host: str
    namespace: str
    pid: Annotated[int, "[1, inf)"]
    started: str
    since: str
    token: str = ""
    machine: str = ""
    directory: str = ""
    inode: str = ""


@contextmanager
def hold(directory: AnyPath) -> Iterator[str]:
    """Hold the lock of a run directory; yield a note if another process's lock was taken over, else "".

    Meanwhile :mod:`trainctl.store.files` checks before each change that the lock is still held.

    Raises:
        StorageError: If another process is writing to the run, or the lock cannot be written.
    """
    held = runpath.hold(directory)
    mine, note = take(held)
    held.anchor.guard, held.anchor.fence = guard(held, mine), next_fence(held)
    try:
        yield note
    finally:
        with suppress(StorageError):
            files.remove(held / NAME)  # if it is still mine
        held.anchor.guard, held.anchor.fence = runpath.no_guard, 0


def take(directory: AnyPath) -> tuple[Lock, str]:
    """Create the lock; return it, and a note if another process's lock was taken over, else "".

    Raises:
        StorageError: If another process is writing to the run, or the lock cannot be written.
    """
    held, note = runpath.hold(directory), ""
    path, mine = held / NAME, me(held)
    while not files.create(path, json.dumps(asdict(mine)).encode()):
        other = _read(path)
        copied = other is not None and _is_of_another(other, held)
        if other and not copied and not _gone(other):
            raise StorageError(_in_use(other, held))
        # If several processes take over at once, one renames the old lock; another may rename a new lock, and puts it back.
        aside = held / f"{NAME}.{secrets.token_hex(8)}"
        if not files.rename(path, aside):
            continue
        if _content(aside) != other:
            files.put_back(aside, path)
            continue
        files.remove(aside)
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
        return f"{held}: {who}; wait for it to finish, or stop it"
    moved = f", or if this is a copy of {other.directory} there" if other.directory else ""
    return f"{held}: {who}; if it no longer runs{moved}, remove {held / NAME}"


def guard(held: RunPath, mine: Lock) -> Callable[[], None]:
    """Return a function that raises LostLockError if a lock is no longer held, and from then on always.

    The lock may be missing for a moment, while another process that wanted to take it over puts it back.
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


def is_held_here(directory: AnyPath) -> bool:
    """Return whether a living process of this machine holds the lock of a run."""
    try:
        other = _content(runpath.hold(directory) / NAME)
    except CheckpointError:
        return False
    return other is not None and _here(other) and not _gone(other)


def _lost(held: RunPath, other: Lock | None) -> str:
    who = "its lock was removed"
    if other:
        who = f"process {other.pid} on {other.host} took over this run at {other.since}"
    elif runpath.identity(held.path) != runpath.identity(held):
        who = "the run directory was removed"
    return f"{held}: {who}; this process stops writing checkpoints"


def me(held: RunPath) -> Lock:
    """Return a new lock for this process."""
    return Lock(
        host=platform.node(),
        namespace=identity.namespace(),
        pid=os.getpid(),
        started=identity.started(os.getpid()),
        since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        token=secrets.token_hex(16),
        machine=identity.machine(),
        directory=os.path.abspath(held.path),  # noqa: PTH100 - follows no link
        inode=runpath.identity(held),
    )


def next_fence(directory: AnyPath) -> int:
    """Return a fencing number; call it only while holding the lock, because another process may have held it just before.

    It is larger than those of all checkpoints. Because it is also the current time [µs], it is larger than that of a
    process that lost its lock before writing a checkpoint.
    """
    return max(highest_fence(directory) + 1, time.time_ns() // 1000)


def highest_fence(directory: AnyPath) -> int:
    """Return the largest fencing number of a run's checkpoints; 0 if there are none."""
    folder = runpath.hold(directory) / "checkpoints"
    try:
        names = [name for name in runfile.names(folder) if name.startswith("step-") and name.endswith(".json")]
    except CheckpointError:
        return 0
    return max((fence_of(folder / name) for name in names), default=0)


def fence_of(manifest: AnyPath) -> int:
    """Return the fencing number in a manifest; 0 if it has none, because an earlier version wrote it."""
    fence = records.read_json(manifest, LARGEST_MANIFEST).get("fence", 0)
    return int(fence) if schema.fits(fence, Count) else 0


def _read(path: RunPath) -> Lock | None:
    """Return the content of a lock; None if the file is still empty or damaged after :data:`WAIT`."""
    end = time.monotonic() + WAIT
    while not (content := _content(path)) and runpath.kind(path) and time.monotonic() < end:
        time.sleep(WAIT / 20)
    return content


def _content(path: RunPath) -> Lock | None:
    with suppress(CheckpointError, typed.WrongTypeError):
        return typed.read(Lock, records.require_json(path, LARGEST))
    return None


def _here(other: Lock) -> bool:
    """Return whether a lock was taken on this machine, and in this container."""
    same = (other.host, other.namespace) == (platform.node(), identity.namespace())
    return same and other.machine in ("", identity.machine())


def _is_of_another(other: Lock, held: RunPath) -> bool:
    """Return whether a lock was copied together with another run directory of this machine."""
    here = runpath.identity(held)
    return bool(
        _here(other)
        and other.inode
        and here not in ("", other.inode)
        and runpath.identity(Path(other.directory)) != here  # some file systems change inode numbers
    )


def _gone(other: Lock) -> bool:
    """Return whether it is certain that a process no longer runs."""
    return _here(other) and has_ended(other.pid, other.started, identity.started)


def has_ended(pid: int, started: str, when: Callable[[int], str]) -> bool:
    """Return whether it is certain that a process of this machine no longer runs.

    Args:
        pid: Its number.
        started: When it started.
        when: Returns when the process with a number started.
    """
    if os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # another user's
    return when(pid) != started
