"""Check that a path can be read, and explain why if it cannot. Imports no torch."""

import stat
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from trainctl.errors import DataError, TrainctlError


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False if the path is invalid, e.g. too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_directory(path: Path) -> bool:
    """Return whether a path is a directory; False if the path is invalid, e.g. too long."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def check_file(path: Path, error: type[TrainctlError] = DataError) -> None:
    """Check that a path is a regular file: a pipe or a device may never end, and can be read only once.

    Raises:
        TrainctlError: Of the class ``error``, if it is not.
    """
    mode = _mode(path, "file", error)
    if stat.S_ISDIR(mode):
        raise error(f"{path}: is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise error(f"{path}: not a regular file; pipes and devices cannot be read")


def check_directory(path: Path) -> None:
    """Check that a path is a directory.

    Raises:
        DataError: If it is not.
    """
    if not stat.S_ISDIR(_mode(path, "directory", DataError)):
        raise DataError(f"{path}: is a file, not a directory")


def _mode(path: Path, kind: str, error: type[TrainctlError]) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{path}: no such {kind}{_hint(path)}") from None
    except (OSError, ValueError) as failure:  # ValueError: a NUL character
        raise error(f"{path}: cannot be read: {getattr(failure, 'strerror', None) or failure}") from failure


def _hint(path: Path) -> str:
    """Return a hint about a missing path: a broken link, a similar name, or the part of the path that exists."""
    with suppress(OSError):
        if path.is_symlink():
            return f"; it is a broken link to {path.readlink()}"
        if not path.parent.is_dir():
            return f"; only {next(parent for parent in path.parents if parent.is_dir())} exists"
        if close := get_close_matches(path.name, sorted(other.name for other in path.parent.iterdir()), n=1):
            return f"; did you mean {close[0]}?"
    return ""
