"""Create, write and remove directories, with the same care as :mod:`trainctl.store.files` files. Imports no torch."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from trainctl.errors import CheckpointError, StorageError
from trainctl.store import runfile, runpath
from trainctl.store.disk import failure
from trainctl.store.files import remove
from trainctl.store.operations import beside, create_synced, may_change, sync_folder, unlink
from trainctl.store.runpath import AnyPath, reached


def make_directory(path: AnyPath) -> None:
    """Create a directory and sync its parent; the directory must not exist yet.

    Raises:
        OSError: If it cannot be created.
    """
    may_change(path)
    with reached(path) as (folder, name):
        os.mkdir(name, dir_fd=folder)
        try:
            sync_folder(folder, path)
        except OSError:
            with suppress(OSError):
                os.rmdir(name, dir_fd=folder)
            raise


def ensure_directory(path: AnyPath, mode: int = 0o777) -> None:
    """Create a directory and those above it, unless they exist; for a RunPath, down from the open directory.

    Args:
        path: The directory.
        mode: Who may do what in a new one that is given as a ``Path``, as the process's umask limits it.

    Raises:
        StorageError: If it cannot be created, or something else has its name.
    """
    try:
        if isinstance(path, Path):
            path.mkdir(mode, parents=True, exist_ok=True)
        elif runpath.kind(path) != "a directory":
            if len(path.parts) > 1:
                ensure_directory(path.parent)
            make_directory(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot create directory: {error.strerror}") from error


def remove_directory(path: AnyPath) -> None:
    """Remove a directory and the files in it; ignore if it does not exist or cannot be removed."""
    with suppress(OSError, CheckpointError):
        for name in runfile.names(path):
            remove(path / name)
        remove_if_empty(path)


def remove_tree(path: AnyPath) -> None:
    """Remove a directory and everything below it, without following links; what cannot be removed stays.

    Raises:
        StorageError: If the run's lock was lost.
    """
    may_change(path)
    with suppress(OSError), reached(path) as (folder, name):
        shutil.rmtree(name, ignore_errors=True, dir_fd=folder)  # refuses a link, also one that appears meanwhile


def remove_if_empty(path: AnyPath) -> None:
    """Remove a directory unless something is in it; ignore if it cannot be removed."""
    with suppress(OSError), reached(path) as (folder, name):
        os.rmdir(name, dir_fd=folder)


def write_directory(path: Path, contents: Mapping[str, bytes]) -> None:
    """Create a directory with files, all of it or nothing, and sync it to disk.

    Args:
        path: The directory, which must not exist yet.
        contents: Content of each file, by its name.

    Raises:
        StorageError: If it cannot be written.
    """
    temporary = Path(beside(str(path)))
    size = sum(map(len, contents.values()))
    try:
        try:
            os.mkdir(temporary)
            for name, content in contents.items():
                create_synced(str(temporary / name), None, [content], path)
            sync_folder(None, temporary / "any")
            os.rename(temporary, path)
            sync_folder(None, path)
        except BaseException:
            for name in contents:
                unlink(str(temporary / name), None)
            with suppress(OSError):
                os.rmdir(temporary)
            raise
    except OSError as error:
        raise failure(path, error, size) from error
