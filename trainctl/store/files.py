"""The only module that writes, syncs, renames and removes the files of a run. Imports no torch.

Every operation is one call of ``os``, so that the tests can make each of them fail, once or permanently, and can replay
what a power loss leaves behind. A file is written beside its target, synced and renamed, and its directory is synced:
after a crash it is the old file or the new one, whole. Nothing outside the target's directory is used.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from trainctl.errors import StorageError, format_bytes

PORTION = 1 << 20  # bytes that are written at once: of a dummy, and of what comes in smaller pieces


def write(path: Path, portions: Iterable[bytes | memoryview], size: int) -> str:
    """Write a file whole or not at all, sync it to the disk, and return the SHA-256 of its content [hex].

    Args:
        path: Of the file.
        portions: Its content, one after the other; no more than one of them is needed in memory at a time.
        size: Of the content, for the message if there is no space [bytes].

    Raises:
        StorageError: If it cannot be written; the file that was there before is still there.
    """
    temporary, digest = path.with_name(f"{path.name}.tmp"), hashlib.sha256()
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            for portion in _joined(portions):
                digest.update(portion)
                _write(handle, portion)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        remove(temporary)
        raise failure(path, error, size) from error
    except BaseException:
        remove(temporary)
        raise
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and sync it to the disk.

    Raises:
        StorageError: If it cannot be written; the file that was there before is still there.
    """
    write(path, [content], len(content))


def _joined(portions: Iterable[bytes | memoryview]) -> Iterator[bytes | bytearray | memoryview]:
    """Yield the same bytes with small portions joined: a model may have hundreds of tensors of a few bytes."""
    small = bytearray()
    for portion in portions:
        if len(small) + len(portion) > PORTION and small:
            yield small
            small = bytearray()
        if len(portion) > PORTION:
            yield portion
        else:
            small += portion
    yield small


def append(path: Path, content: bytes, flags: int = os.O_CREAT) -> None:
    """Append to a file; only :func:`sync` makes that permanent, and a crash may leave a part of it.

    Args:
        path: Of the file.
        content: What to append.
        flags: 0 if it is an error that the file does not exist.

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
    """Write a file that must not exist yet; return whether it did not. Of several processes only one succeeds.

    Raises:
        StorageError: If it cannot be written; then it does not exist.
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
    """Create a directory that must not exist yet, and sync its parent.

    Raises:
        OSError: If it cannot be created.
    """
    os.mkdir(path)
    try:
        sync(path.parent)
    except OSError:
        with suppress(OSError):
            os.rmdir(path)
        raise


def remove(path: Path) -> None:
    """Remove a file that is no longer needed; nothing happens if it does not exist or cannot be removed."""
    with suppress(OSError):
        os.unlink(path)


def rename(source: Path, target: Path) -> bool:
    """Rename a file; return whether it existed.

    Raises:
        StorageError: If it exists and cannot be renamed.
    """
    try:
        os.replace(source, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise failure(target, error, 0) from error
    return True


def sync(path: Path) -> None:
    """Sync a file's bytes, or a directory's entries, to the disk.

    Raises:
        OSError: If that fails; what was written may be lost, and a second attempt would not notice.
    """
    if os.name == "nt" and path.is_dir():
        return  # a directory cannot be opened there, and renames need no sync
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rehearse(path: Path, size: int) -> None:
    """Write, sync, rename and remove a dummy file.

    Args:
        path: Of the dummy.
        size: Of its content [bytes].

    Raises:
        StorageError: If any of that fails.
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
        available = free(path.parent)  # until it is removed, the dummy counts as used
        for rest in (temporary, path):
            remove(rest)
        raise failure(path.parent, error, size, max(available or 0, free(path.parent) or 0)) from error


def free(directory: Path) -> int | None:
    """Return the free space on the file system of a directory [bytes]; None if the system does not tell."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def failure(path: Path, error: OSError, needed: int, available: int | None = None) -> StorageError:
    """Return the error that tells the user what could not be written, why, and how much space is free."""
    available = free(path.parent) if available is None else available
    space = "" if available is None else f", {format_bytes(available)} free"
    return StorageError(f"{path}: cannot be written: {error.strerror or error} ({format_bytes(needed)} needed{space})")


def _write(handle: int, content: bytes | bytearray | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
