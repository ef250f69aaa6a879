"""A path to read from -> the reason why it cannot be read. Imports no torch."""

import stat
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from trainctl.errors import DataError, TrainctlError


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file; False for one that no file system takes, such as a long name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_directory(path: Path) -> bool:
    """Return whether a path leads to a directory; False for one that no file system takes, such as a long name."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def check_file(path: Path, error: type[TrainctlError] = DataError) -> None:
    """Check that a path leads to a regular file: a pipe or a device may never end, and can be read only once.

    Raises:
        TrainctlError: Of the class that is given, if it does not.
    """
    mode = _mode(path, "file", error)
    if stat.S_ISDIR(mode):
        raise error(f"{path}: is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise error(f"{path}: not a regular file; pipes and devices cannot be read")


def check_directory(path: Path) -> None:
    """Check that a path leads to a directory.

    Raises:
        DataError: If it does not.
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
    """Return what exists instead: a link that leads nowhere, a similar name, or the part of the path that exists."""
    with suppress(OSError):
        if path.is_symlink():
            return f"; it is a broken link to {path.readlink()}"
        if not path.parent.is_dir():
            return f"; only {next(parent for parent in path.parents if parent.is_dir())} exists"
        if close := get_close_matches(path.name, sorted(other.name for other in path.parent.iterdir()), n=1):
            return f"; did you mean {close[0]}?"
    return ""
