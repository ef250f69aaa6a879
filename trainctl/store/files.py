"""Write, sync, rename and remove the files of a run; only :mod:`trainctl.store.directories` does so as well.

Imports no torch. Every operation is one call of ``os``, so that the tests can make each of them fail, once or permanently, and can replay
a power failure. A file is written under a random temporary name in the same directory, synced and renamed, and then the
directory is synced: after a crash the file has either its old or its new content, complete. No link is followed, see
:mod:`trainctl.store.runpath`. While a run is locked, each change first checks that the lock is still held, see
:mod:`trainctl.store.lock`.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import BinaryIO

from trainctl.store import runpath
from trainctl.store.disk import failure
from trainctl.store.operations import NEW, beside, create_synced, may_change, sync_folder, sync_open, unlink, write_all
from trainctl.store.runpath import AnyPath, reached

PORTION = 1 << 20  # bytes written at once, for a dummy file and for small pieces of content
APPEND = os.O_WRONLY | os.O_APPEND | runpath.NO_LINK | runpath.NO_WAIT


def write(path: AnyPath, portions: Iterable[bytes | memoryview], size: int) -> str:
    """Write a file atomically, sync it to disk, and return the SHA-256 of its content [hex].

    Args:
        path: The file's path.
        portions: The content, in pieces; only one piece has to be in memory at a time.
        size: Size of the content [bytes], shown in the message if there is no space.

    Raises:
        StorageError: If it cannot be written, or the run's lock was lost; an existing file is unchanged.
    """
    digest = hashlib.sha256()

    def digested() -> Iterator[bytes | bytearray | memoryview]:
        for portion in _joined(portions):
            digest.update(portion)
            yield portion

    try:
        with reached(path) as (folder, name):
            temporary = beside(name)
            try:
                create_synced(temporary, folder, digested(), path)
                may_change(path)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                sync_folder(folder, path)
            except BaseException:
                unlink(temporary, folder)
                raise
    except OSError as error:
        raise failure(path, error, size) from error
    return digest.hexdigest()


def write_bytes(path: AnyPath, content: bytes) -> None:
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


def append(path: AnyPath, content: bytes, flags: int = os.O_CREAT) -> None:
    """Append to a file; until :func:`sync` returns, a crash may lose all or part of the content.

    Args:
        path: The file's path.
        content: The bytes to append.
        flags: Flags for ``os.open``; with 0, a missing file is an error instead of being created.

    Raises:
        StorageError: If it cannot be written; part of the content may have been appended.
    """
    handle = open_to_append(path, flags)
    try:
        write_all(handle, content)
    except OSError as error:
        raise failure(path, error, len(content)) from error
    finally:
        os.close(handle)


def open_to_append(path: AnyPath, flags: int = os.O_CREAT) -> int:
    """Return the descriptor of a file to append to, for a process whose output goes there.

    Args:
        path: The file's path.
        flags: Flags for ``os.open``; with 0, a missing file is an error instead of being created.

    Raises:
        StorageError: If it cannot be opened, or is a link, a special file, or one with a second name.
    """
    try:
        may_change(path)
        with reached(path) as (folder, name):
            handle = os.open(name, APPEND | flags, 0o666, dir_fd=folder)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(handle)
            raise OSError(errno.EPERM, "not a regular file, or one that also has a name elsewhere")
    except OSError as error:
        raise failure(path, error, 0) from error
    return handle


def create_whole(path: AnyPath, content: bytes) -> bool:
    """Create a file that is complete from its first moment on, and return True; return False if it exists already.

    Raises:
        StorageError: If it cannot be written.
    """
    aside = path.parent / os.path.basename(beside(path.name))
    if not create(aside, content):
        return False  # a random name that is taken: as good as another process's file
    try:
        with reached(path) as (folder, name), reached(aside) as (_, other):
            os.link(other, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        return create(path, content)
    finally:
        remove(aside)
    return True


def create(path: AnyPath, content: bytes) -> bool:
    """Create a file, and return True; return False if it exists already. Of several processes only one succeeds.

    Raises:
        StorageError: If it cannot be written; it then does not exist.
    """
    try:
        may_change(path)
        with reached(path) as (folder, name):
            create_synced(name, folder, [content], path)
    except FileExistsError:
        return False
    except OSError as error:
        raise failure(path, error, len(content)) from error
    return True


def open_new(path: AnyPath) -> BinaryIO:
    """Create a file, which must not exist yet, for a library that writes it bit by bit.

    Raises:
        StorageError: If it cannot be created.
    """
    try:
        may_change(path)
        with reached(path) as (folder, name):
            return os.fdopen(os.open(name, NEW, 0o666, dir_fd=folder), "wb")
    except OSError as error:
        raise failure(path, error, 0) from error


def remove(path: AnyPath) -> None:
    """Remove a file; ignore if it does not exist or cannot be removed.

    Raises:
        StorageError: If the run's lock was lost.
    """
    may_change(path)
    with suppress(OSError), reached(path) as (folder, name):
        os.unlink(name, dir_fd=folder)


def rename(source: AnyPath, target: AnyPath) -> bool:
    """Rename a file or a directory in the directory that contains it; return whether it existed.

    Raises:
        StorageError: If it exists and cannot be renamed.
    """
    try:
        may_change(source)
        with reached(source) as (folder, name):
            os.replace(name, target.name if folder is not None else str(target), src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise failure(target, error, 0) from error
    return True


def put_back(source: AnyPath, target: AnyPath) -> None:
    """Rename a file in its directory; if a file of the target's name exists by now, remove the source instead.

    Raises:
        StorageError: If it cannot be renamed.
    """
    try:
        with reached(source) as (folder, name):
            old = target.name if folder is not None else str(target)
            try:
                os.link(name, old, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                pass
            except (OSError, NotImplementedError):  # a file system without hard links
                os.replace(name, old, src_dir_fd=folder, dst_dir_fd=folder)
                return
            os.unlink(name, dir_fd=folder)
    except OSError as error:
        raise failure(target, error, 0) from error


def sync(path: AnyPath) -> None:
    """Sync a file's bytes to disk.

    Raises:
        OSError: If that fails. Written bytes may then be lost, and calling it again may succeed without restoring them.
    """
    with reached(path) as (folder, name):
        access = os.O_RDWR if os.name == "nt" else os.O_RDONLY
        handle = os.open(name, access | runpath.NO_LINK | runpath.NO_WAIT, dir_fd=folder)
        try:
            sync_open(handle, path)
        finally:
            os.close(handle)


def rehearse(path: AnyPath, size: int) -> None:
    """Write, sync, rename and remove a dummy file, to find out early whether that works.

    Args:
        path: The dummy's path.
        size: The dummy's size [bytes].

    Raises:
        StorageError: If any of these operations fails.
    """
    portions = (bytes(min(PORTION, size - start)) for start in range(0, size, PORTION))
    try:
        with reached(path) as (folder, name):
            temporary = beside(name)
            try:
                create_synced(temporary, folder, portions, path)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                sync_folder(folder, path)
                os.unlink(name, dir_fd=folder)
            except OSError:
                for rest in (temporary, name):
                    unlink(rest, folder)
                raise
    except OSError as error:
        raise failure(path.parent, error, size) from error
