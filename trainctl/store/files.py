"""How files are written: the only module that writes, syncs, renames and removes what belongs to a run. No torch.

Every step is one call of ``os``, so that the tests can let each of them fail, once or for good, and can replay what a
power loss leaves. A file is written beside its target, synced, renamed, and its directory synced: after a crash it is
the old one or the new one, whole. Nothing outside the target's directory is used.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from trainctl.errors import StorageError, format_bytes

PORTION = 1 << 20  # bytes of a dummy that are written at once


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and make it last.

    Raises:
        StorageError: If it cannot be written; the file before is still there.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise failure(path, error, len(content)) from error


def append(path: Path, content: bytes, flags: int = os.O_CREAT) -> None:
    """Add to the end of a file; it lasts only after :func:`sync`, and a crash may leave a part.

    Args:
        path: Of the file.
        content: What to add.
        flags: 0 where it is an error if the file is not there.

    Raises:
        StorageError: If it cannot be written; a part may have been.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | flags, 0o666)
        try:
            _write(handle, content)
        finally:
            os.close(handle)
    except OSError as error:
        raise failure(path, error, len(content)) from error


def create(path: Path, content: bytes) -> bool:
    """Write a file that must not be there yet; say whether it was not. Among several processes one succeeds.

    Raises:
        StorageError: If it cannot be written; then it is not there.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    except OSError as error:
        raise failure(path, error, len(content)) from error
    try:
        try:
            _write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        remove(path)
        raise failure(path, error, len(content)) from error
    return True


def make_directory(path: Path) -> None:
    """Make a directory that must not be there yet, and make it last.

    Raises:
        OSError: If it cannot be made.
    """
    os.mkdir(path)
    try:
        sync(path.parent)
    except OSError:
        with suppress(OSError):
            os.rmdir(path)
        raise


def remove(path: Path) -> None:
    """Remove a file that nobody needs; one that is gone or cannot be removed does no harm."""
    with suppress(OSError):
        os.unlink(path)


def rename(source: Path, target: Path) -> bool:
    """Give a file another name; say whether it was there."""
    try:
        os.replace(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise failure(target, error, 0) from error
    return True


def sync(path: Path) -> None:
    """Make a file's bytes, or a directory's entries, last.

    Raises:
        OSError: If that fails; what was written may be lost, and a second try would not tell.
    """
    if os.name == "nt" and path.is_dir():
        return  # a directory cannot be opened there, and renames need no sync
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rehearse(path: Path, size: int) -> None:
    """Write, sync, rename and remove a dummy of a size in bytes.

    Raises:
        StorageError: If that fails.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            for start in range(0, size, PORTION):
                _write(handle, bytes(min(PORTION, size - start)))
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
        sync(path.parent)
        os.unlink(path)
    except OSError as error:
        available = free(path.parent)  # before the dummy is gone it would count as used
        for rest in (temporary, path):
            remove(rest)
        raise failure(path.parent, error, size, max(available or 0, free(path.parent) or 0)) from error


def free(directory: Path) -> int | None:
    """Return the bytes that are free where a directory lies; None if nobody knows."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def failure(path: Path, error: OSError, needed: int, available: int | None = None) -> StorageError:
    """Return the error that tells a user what could not be written, why, and how much room there is."""
    available = free(path.parent) if available is None else available
    room = "" if available is None else f", {format_bytes(available)} free"
    return StorageError(f"{path}: cannot be written: {error.strerror or error} ({format_bytes(needed)} needed{room})")


def _write(handle: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
