"""Check that a path can be read, and explain why if it cannot. Imports no torch."""

import os
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from trainctl.errors import ConfigError, DataError, TrainctlError
from trainctl.wording import did_you_mean

MOST_COMPARED = 10_000  # names in a directory, to find one that was misspelt


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


def required(key: str, value: str | None, example: str) -> str:
    """Return the value of a setting of the data set that has no default.

    Raises:
        ConfigError: If it is null.
    """
    if value is None:
        raise ConfigError(f"dataset.{key}=null: set dataset.{key}={example}")
    return value


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


def open_regular(path: Path, error: type[TrainctlError] = DataError) -> BinaryIO:
    """Open a regular file for reading; what takes its place after the check neither blocks nor is read.

    Raises:
        TrainctlError: Of the class ``error``, if it is anything else or cannot be opened.
    """
    check_file(path, error)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as failure:
        raise error(f"{path}: cannot be read: {failure.strerror}") from failure
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"{path}: not a regular file; pipes and devices cannot be read")
    return os.fdopen(descriptor, "rb")


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
            *_, missing = (parent for parent in path.parents if not parent.is_dir())
            if missing.exists():
                return f"; {missing} is a file, not a directory"
            return f"; there is no directory {missing}{did_you_mean(missing.name, _names(missing.parent))}"
        return did_you_mean(path.name, _names(path.parent))
    return ""


def _names(directory: Path) -> list[str]:
    """Return names in a directory, at most so many that comparing them takes no time."""
    return sorted(other.name for other in islice(directory.iterdir(), MOST_COMPARED))
