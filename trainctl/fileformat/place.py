"""A path to read from -> the reason why it cannot be. Imports no torch."""

import stat
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from trainctl.errors import DataError


def check_file(path: Path) -> None:
    """Raise DataError unless a path leads to a regular file: a pipe or a device may never end, and is read once only."""
    mode = _mode(path, "file")
    if stat.S_ISDIR(mode):
        raise DataError(f"{path}: is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: not a regular file; a run reads its data again when it is resumed")


def check_directory(path: Path) -> None:
    """Raise DataError unless a path leads to a directory."""
    if not stat.S_ISDIR(_mode(path, "directory")):
        raise DataError(f"{path}: no such directory; it is a file")


def _mode(path: Path, kind: str) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such {kind}{_hint(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _hint(path: Path) -> str:
    """Say what is there instead: a link that leads nowhere, a similar name, the part of the path that exists."""
    with suppress(OSError):
        if path.is_symlink():
            return f"; it is a link to {path.readlink()}, which is not there"
        if not path.parent.is_dir():
            there = next(place for place in path.parents if place.is_dir())
            return f"; of its directories only {there} is there"
        if close := get_close_matches(path.name, sorted(other.name for other in path.parent.iterdir()), n=1):
            return f"; did you mean {close[0]}?"
    return ""
