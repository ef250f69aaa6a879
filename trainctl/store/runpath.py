"""Reach the files of a run from the descriptor of its directory, without following links. Imports no torch.

A run directory may come from anybody. It is opened once, even through a link, and everything below it is opened relative
to its descriptor, name by name, without following links: the kernel refuses links, including those that appear after a
check. Only regular files are read, up to a maximum size.

Where the system has no such calls (Windows), or the file system cannot open directories, paths are used instead, and
each directory on the way is checked first.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import CheckpointError

HAS_DESCRIPTORS = {os.open, os.mkdir, os.unlink, os.rename, os.stat} <= os.supports_dir_fd
REFUSES_DIRECTORIES = (errno.EISDIR, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)  # some network file systems, opened
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
# O_PATH needs no more than the right to pass, and asks nothing of the file system.
FOLDER = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", os.O_RDONLY)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe that nobody writes to or reads from does not block
KINDS = {
    stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device", stat.S_IFDIR: "a directory", stat.S_IFREG: "a file",
}  # fmt: skip


class MissingError(CheckpointError):
    """Raised if a file or directory of a run does not exist."""


def no_guard() -> None:
    """Allow every change; used while this process does not hold the lock."""


@dataclass
class Anchor:
    """An open directory; it is closed when nothing refers to it.

    Args:
        path: The path by which it was opened, for messages.
        descriptor: The directory's descriptor; None if the system or file system has none.
        guard: Called before each change below the directory; raises an error if its lock was lost.
        fence: Fencing number of the lock that this process holds; 0 if it holds none.
    """

    path: Path
    descriptor: int | None
    guard: Callable[[], None] = no_guard
    fence: int = 0

    def __del__(self) -> None:
        if self.descriptor is not None:
            with suppress(OSError):
                os.close(self.descriptor)


class RunPath:
    """An open directory, or a path below it; a small :class:`~pathlib.Path` that follows no links.

    Args:
        anchor: The directory.
        parts: The names on the path below it.
    """

    __slots__ = ("anchor", "parts")

    def __init__(self, anchor: Anchor, parts: tuple[str, ...] = ()) -> None:
        self.anchor, self.parts = anchor, parts

    def __truediv__(self, name: str) -> "RunPath":
        if name in ("", ".", "..") or "/" in name or "\0" in name or (os.altsep or "/") in name:
            raise CheckpointError(f"{self}: {name!r} is not the name of a file in it")
        return RunPath(self.anchor, (*self.parts, name))

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunPath({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunPath) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def path(self) -> Path:
        """The path for messages; never open it."""
        return self.anchor.path.joinpath(*self.parts)

    @property
    def name(self) -> str:
        """The last name."""
        return self.parts[-1] if self.parts else self.anchor.path.name

    @property
    def parent(self) -> "RunPath":
        """The directory that contains it; the open directory is its own parent."""
        return RunPath(self.anchor, self.parts[:-1])

    def with_name(self, name: str) -> "RunPath":
        """Return the path of another file in the same directory."""
        return self.parent / name


AnyPath = Path | RunPath


def hold(path: AnyPath) -> RunPath:
    """Open a directory, even through a link; return a RunPath unchanged.

    Raises:
        CheckpointError: If it cannot be opened, or is not a directory.
    """
    if isinstance(path, RunPath):
        return path
    try:
        return RunPath(Anchor(path, _open_directory(path)))
    except FileNotFoundError as error:
        raise MissingError(f"{path}: no such directory") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        raise CheckpointError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def enter(path: RunPath) -> RunPath:
    """Open a directory below an open one, which must not be a link, as a directory with a lock of its own.

    Raises:
        CheckpointError: If it is missing, or is a link or not a directory.
    """
    try:
        with reached(path) as (folder, name):
            if folder is None:
                _require_directory(path.path)
                return RunPath(Anchor(path.path, None))
            return RunPath(Anchor(path.path, os.open(name, FOLDER | NO_LINK, dir_fd=folder)))
    except (OSError, ValueError) as error:
        raise unreadable(path, error, "a directory") from error


def _open_directory(path: Path) -> int | None:
    if HAS_DESCRIPTORS:
        try:
            return os.open(path, FOLDER)
        except OSError as error:
            if error.errno not in REFUSES_DIRECTORIES:
                raise
    if not stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - a test replaces os
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    return None


@contextmanager
def reached(path: AnyPath) -> Iterator[tuple[int | None, str]]:
    """Yield the descriptor of a path's directory, and the path's name in it, for the functions of ``os``.

    The directory of a :class:`~pathlib.Path` is opened even through links, because the user chose it.

    Raises:
        OSError: If a directory on the path is missing, or is a link or not a directory.
    """
    if isinstance(path, Path):
        anchor = Anchor(path.parent, _open_directory(path.parent))
        yield anchor.descriptor, path.name if anchor.descriptor is not None else str(path)
        return
    descriptor = path.anchor.descriptor
    if descriptor is None:
        for depth in range(1, len(path.parts)):
            _require_directory(path.anchor.path.joinpath(*path.parts[:depth]))
        yield None, str(path)
        return
    opened: list[int] = []
    try:
        for part in path.parts[:-1]:
            descriptor = os.open(part, FOLDER | NO_LINK, dir_fd=descriptor)
            opened.append(descriptor)
        yield descriptor, path.parts[-1] if path.parts else "."
    finally:
        for each in opened:
            os.close(each)


def _require_directory(path: Path) -> None:
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def status(path: AnyPath) -> os.stat_result | None:
    """Return the status of a path without following links; None if it does not exist.

    Raises:
        OSError: If the status cannot be read.
    """
    try:
        with reached(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def kind(path: AnyPath) -> str:
    """Return the kind of a path, such as "a file" or "a link", without following links; empty if missing or unreadable."""
    try:
        found = status(path)
    except (OSError, ValueError):
        return ""
    return KINDS.get(stat.S_IFMT(found.st_mode), "a special file") if found else ""


def unreadable(path: AnyPath, error: Exception, wanted: str = "a file") -> CheckpointError:
    """Return an error that explains why a path of a run cannot be read."""
    for each in _above(path):
        found, expected = kind(each), wanted if each == path else "a directory"
        if found and found != expected:
            advice = "; nothing in a run directory may be a link" if found == "a link" else ""
            return CheckpointError(f"{each}: is {found}, not {expected}{advice}")
    return CheckpointError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")


def _above(path: AnyPath) -> list[AnyPath]:
    """Return the directories between the open directory and a path, and the path itself."""
    if isinstance(path, Path):
        return [path]
    return [RunPath(path.anchor, path.parts[:depth]) for depth in range(1, len(path.parts) + 1)]


def identity(path: AnyPath) -> str:
    """Return ``device:inode``, which identifies a directory on its machine; "" if unknown."""
    with suppress(OSError):
        held = path.anchor.descriptor if isinstance(path, RunPath) else None
        found = os.fstat(held) if held is not None else Path(str(path)).stat()
        return f"{found.st_dev}:{found.st_ino}"
    return ""
