"""Write, sync, rename and remove the files of a run; no other module does. Imports no torch.

Every operation is one call of ``os``, so that the tests can make each of them fail, once or permanently, and can replay
a power failure. A file is written under a temporary name in the same directory, synced and renamed, and then the directory
is synced: after a crash the file has either its old or its new content, complete.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from trainctl.errors import StorageError, format_bytes

PORTION = 1 << 20  # bytes written at once, for a dummy file and for small pieces of content


def write(path: Path, portions: Iterable[bytes | memoryview], size: int) -> str:
    """Write a file atomically, sync it to disk, and return the SHA-256 of its content [hex].

    Args:
        path: The file's path.
        portions: The content, in pieces; only one piece has to be in memory at a time.
        size: Size of the content [bytes], shown in the message if there is no space.

    Raises:
        StorageError: If it cannot be written; an existing file is unchanged.
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
    """Write a file atomically, and sync it to disk.

    Raises:
        StorageError: If it cannot be written; an existing file is unchanged.
    """
    write(path, [content], len(content))


def _joined(portions: Iterable[bytes | memoryview]) -> Iterator[bytes | bytearray | memoryview]:
    """Yield the same bytes in larger pieces: a model may have hundreds of tensors of a few bytes."""
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
    """Append to a file; until :func:`sync` returns, a crash may lose all or part of the content.

    Args:
        path: The file's path.
        content: The bytes to append.
        flags: Flags for ``os.open``; with 0, a missing file is an error instead of being created.

    Raises:
        StorageError: If it cannot be written; part of the content may have been appended.
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
    """Create a file, and return True; return False if it exists already. Of several processes only one succeeds.

    Raises:
        StorageError: If it cannot be written; it then does not exist.
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
    """Create a directory and sync its parent; the directory must not exist yet.

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
    """Remove a file; ignore if it does not exist or cannot be removed."""
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
    """Sync a file's bytes, or a directory's entries, to disk.

    Raises:
        OSError: If that fails. Written bytes may then be lost, and calling it again may succeed without restoring them.
    """
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a directory, and renames need no sync
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rehearse(path: Path, size: int) -> None:
    """Write, sync, rename and remove a dummy file, to find out early whether that works.

    Args:
        path: The dummy's path.
        size: The dummy's size [bytes].

    Raises:
        StorageError: If any of these operations fails.
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
        available = free(
            path.parent
        )  # measured before and after the dummy is removed, because the dummy itself takes space
        for rest in (temporary, path):
            remove(rest)
        raise failure(path.parent, error, size, max(available or 0, free(path.parent) or 0)) from error


def free(directory: Path) -> int | None:
    """Return the free space on the file system of a directory [bytes]; None if it is unknown."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def failure(path: Path, error: OSError, needed: int, available: int | None = None) -> StorageError:
    """Return an error that says which file could not be written, why, and how much space is free."""
    available = free(path.parent) if available is None else available
    space = "" if available is None else f", {format_bytes(available)} free"
    return StorageError(f"{path}: cannot be written: {error.strerror or error} ({format_bytes(needed)} needed{space})")


def _write(handle: int, content: bytes | bytearray | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
