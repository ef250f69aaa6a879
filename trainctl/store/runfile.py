"""Read directories and regular files of a run, reached as :mod:`trainctl.store.runpath` describes. Imports no torch."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainctl.errors import CheckpointError
from trainctl.store.runpath import NO_LINK, NO_WAIT, REFUSES_DIRECTORIES, AnyPath, MissingError, reached, unreadable

READ = os.O_RDONLY | NO_LINK | NO_WAIT | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def names(path: AnyPath) -> list[str]:
    """Return the names in a directory, sorted; none if it does not exist.

    Raises:
        CheckpointError: If it cannot be read, or is a link or not a directory.
    """
    try:
        if isinstance(path, Path):
            return sorted(os.listdir(path))  # noqa: PTH208 - names, not paths
        with reached(path / "x") as (folder, _):
            if folder is None:
                return sorted(os.listdir(path.path))  # noqa: PTH208
            try:
                handle = os.open(".", os.O_RDONLY | getattr(os, "O_DIRECTORY", 0), dir_fd=folder)
            except OSError as error:
                if error.errno not in REFUSES_DIRECTORIES:
                    raise
                return sorted(os.listdir(path.path))  # noqa: PTH208
        try:
            return sorted(os.listdir(handle))  # noqa: PTH208
        finally:
            os.close(handle)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(path, error, "a directory") from error


@contextmanager
def reader(path: AnyPath) -> Iterator[io.BufferedReader]:
    """Open a regular file for reading.

    Raises:
        MissingError: If it does not exist.
        CheckpointError: If it cannot be read, or is a link, a pipe, a device or a directory.
    """
    try:
        handle = _open_regular(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if isinstance(error, FileNotFoundError):
            raise MissingError(f"{path}: cannot be read: {error.strerror}") from error
        raise unreadable(path, error) from error
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    with os.fdopen(handle, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise unreadable(path, error) from error


def _open_regular(path: AnyPath) -> int:
    with reached(path) as (folder, name):
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")  # opening a device may have an effect
        handle = os.open(name, READ, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    return handle


def read_bytes(path: AnyPath, largest: int) -> bytes:
    """Read a regular file of at most ``largest`` bytes.

    Raises:
        MissingError: If it does not exist.
        CheckpointError: If it cannot be read, is too large, or is a link, a pipe, a device or a directory.
    """
    with reader(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > largest else file.read(size + 1)  # takes so much memory, however little there is
    if max(size, len(content)) > largest:
        raise CheckpointError(f"{path}: larger than {largest:,} bytes")
    return content
