"""What a file system says: how much space is left, why a file cannot be written, and whether it can sync. Imports no torch."""

import errno
import shutil
import warnings

from trainctl.errors import Advice, StorageError, format_bytes
from trainctl.store.runpath import AnyPath

# What a file system answers that cannot sync: some network and user-space ones, and shared folders of virtual machines.
CANNOT_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EISDIR)
TOLD: set[str] = set()  # what was said to be without sync: once is enough


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
    """Check that an error of a sync says that the file system has none, and tell the user once.

    Args:
        error: That was raised.
        path: Of what was synced, or of a file in the directory that was.
        what: ``files`` or ``directories``.

    Raises:
        OSError: The same error, if it says that the sync failed.
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
