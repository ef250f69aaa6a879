"""Find out how much space a file system has and whether it can sync, and explain failed writes. Imports no torch."""

import errno
import shutil
import warnings

from trainctl.errors import Advice, StorageError, format_bytes
from trainctl.store.runpath import AnyPath

# Errors of file systems that cannot sync: some network and user-space ones, and shared folders of virtual machines.
CANNOT_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EISDIR)
TOLD: set[str] = set()  # the notes that were shown already


def free(path: AnyPath) -> int | None:
    """Return the free space on the file system of a directory [bytes]; None if the system does not tell."""
    try:
        return shutil.disk_usage(str(path)).free
    except OSError:
        return None


def failure(path: AnyPath, error: OSError, needed: int, available: int | None = None) -> StorageError:
    """Return the error that tells the user what could not be written, why, and how much space is free."""
    available = free(path.parent) if available is None else available
    space = "" if available is None else f", {format_bytes(available)} free"
    return StorageError(f"{path}: cannot be written: {error.strerror or error} ({format_bytes(needed)} needed{space})")


def require_unable_to_sync(error: OSError, path: AnyPath, what: str) -> None:
    """Check that a sync failed because the file system cannot sync, and tell the user once.

    Args:
        error: The error of the sync.
        path: The file that was synced, or a file in the directory that was synced.
        what: ``files`` or ``directories``.

    Raises:
        OSError: The same error, if the file system can sync.
    """
    if error.errno not in CANNOT_SYNC:
        raise error
    if what not in TOLD:
        TOLD.add(what)
        warnings.warn(
            f"{path.parent}: this file system cannot sync {what} to the disk ({error.strerror}): a power failure may"
            " lose what was written last; everything else works",
            Advice,
            stacklevel=1,
        )
