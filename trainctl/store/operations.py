"""Single operations on the files of a run, of which :mod:`trainctl.store.files` and ``directories`` are made.

Imports no torch.
"""

import errno
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress

from trainctl.store import runpath
from trainctl.store.disk import require_unable_to_sync
from trainctl.store.runpath import AnyPath, RunPath

TEMPORARY = re.compile(r"\.trainctl-[0-9a-f]{16}\.tmp")
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | runpath.NO_LINK


def may_change(path: AnyPath) -> None:
    """Check that the run's lock is still held; called last before each change.

    Raises:
        StorageError: If it was lost.
    """
    if isinstance(path, RunPath):
        path.anchor.guard()


def beside(name: str) -> str:
    """Return a random name in the same directory, as :data:`TEMPORARY` describes; nobody can guess it and put a link there."""
    return os.path.join(os.path.dirname(name), f".trainctl-{secrets.token_hex(8)}.tmp")


def create_synced(
    name: str, folder: int | None, portions: Iterable[bytes | bytearray | memoryview], path: AnyPath
) -> None:
    """Write and sync a file, which must not exist yet; remove it if that fails."""
    handle = os.open(name, NEW, 0o666, dir_fd=folder)
    try:
        try:
            for portion in portions:
                write_all(handle, portion)
            sync_open(handle, path)
        finally:
            os.close(handle)
    except BaseException:
        unlink(name, folder)
        raise


def unlink(name: str, folder: int | None) -> None:
    """Remove a file; ignore if that fails."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def write_all(handle: int, content: bytes | bytearray | memoryview) -> None:
    """Write all bytes to an open file."""
    rest = memoryview(content)
    while rest:
        if not (written := os.write(handle, rest)):
            raise OSError(errno.EIO, "the file system accepted no more bytes and reported no error")
        rest = rest[written:]


def sync_open(handle: int, path: AnyPath) -> None:
    """Sync an open file; if the file system cannot sync, only tell the user, once."""
    try:
        os.fsync(handle)
    except OSError as error:
        require_unable_to_sync(error, path, "files")


def sync_folder(folder: int | None, path: AnyPath) -> None:
    """Sync the directory of a path; if the file system cannot sync, only tell the user, once."""
    if os.name == "nt":
        return  # Windows cannot open a directory, and renames need no sync
    try:
        handle = os.open("." if folder is not None else str(path.parent), os.O_RDONLY, dir_fd=folder)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        require_unable_to_sync(error, path, "directories")
