"""Disks that fail, and disks that lose their power: stand-ins for ``os`` in the modules that change files."""

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainctl.store import directories, files, operations

WRITERS = (files, directories, operations)
OPERATIONS = ("open", "write", "fsync", "replace", "unlink", "mkdir")
ERRORS = (
    errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.EACCES, errno.ENAMETOOLONG, errno.ESTALE,
)  # fmt: skip


def replace_os(patch: pytest.MonkeyPatch, stand_in: Any) -> None:
    """Let every module that changes files use another ``os``."""
    for module in WRITERS:
        patch.setattr(module, "os", stand_in)


class FailingDisk:
    """An ``os`` whose n-th operation fails, and with `persistent` every later one; a write that fails is torn."""

    def __init__(
        self, n: int, *, persistent: bool, error: int | None = None, only: tuple[str, ...] = OPERATIONS
    ) -> None:
        self.n, self.persistent, self.only = n, persistent, only
        self.error = error or ERRORS[n % len(ERRORS)]
        self.calls = 0

    @property
    def fired(self) -> bool:
        return self.calls >= self.n

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.only:
            return real

        def operation(*arguments: Any, **where: Any) -> Any:
            self.calls += 1
            if self.calls == self.n or (self.persistent and self.calls > self.n):
                if name == "write" and len(arguments[1]) > 1:
                    os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise OSError(self.error, os.strerror(self.error))
            return real(*arguments, **where)

        return operation


class RecordingDisk:
    """An ``os`` that writes down what is done to files."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.handles: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def mark(self, step: int) -> None:
        """Write down that the checkpoint of a step is promised from now on."""
        self.log.append(("mark", step))

    @staticmethod
    def full(name: str, folder: int | None) -> str:
        """Return the path of a name in a directory that is open."""
        return os.path.normpath(os.path.join("" if folder is None else os.readlink(f"/proc/self/fd/{folder}"), name))

    def open(self, name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        handle = os.open(name, flags, mode, dir_fd=dir_fd)
        self.handles[handle] = path = self.full(name, dir_fd)
        if flags & os.O_CREAT:
            self.log.append(("create", path, bool(flags & os.O_TRUNC)))
        return handle

    def write(self, handle: int, content: bytes) -> int:
        self.log.append(("write", self.handles[handle], bytes(content)))
        return os.write(handle, content)

    def fsync(self, handle: int) -> None:
        os.fsync(handle)
        self.log.append(("sync", self.handles[handle]))

    def replace(self, source: str, target: str, *, src_dir_fd: int | None, dst_dir_fd: int | None) -> None:
        os.replace(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self.log.append(("rename", self.full(source, src_dir_fd), self.full(target, dst_dir_fd)))

    def unlink(self, name: str, *, dir_fd: int | None = None) -> None:
        os.unlink(name, dir_fd=dir_fd)
        self.log.append(("unlink", self.full(name, dir_fd)))

    def mkdir(self, name: str, *, dir_fd: int | None = None) -> None:
        os.mkdir(name, dir_fd=dir_fd)
        self.log.append(("mkdir", self.full(name, dir_fd)))


class File:
    """A file's bytes as programs see them, and as the disk has them."""

    def __init__(self) -> None:
        self.seen, self.kept = b"", b""


class PowerLoss:
    """Replays a log of operations, and says what may be left when the power fails after any of them.

    A file's bytes are safe once it was synced; that a name is made, changed or removed, once its directory was.
    """

    def __init__(self, root: Path) -> None:
        self.seen: dict[str, File | None] = {str(root): None}  # None: a directory
        self.kept = dict(self.seen)
        self.pending: list[tuple[str, dict[str, File | None], list[str]]] = []  # directory, names made, names removed

    def do(self, operation: tuple[Any, ...]) -> None:
        """Do the next operation of the log."""
        kind, path, *rest = operation
        if kind == "create":
            if path not in self.seen:
                self._change(path, {path: File()}, [])
            if rest[0]:
                self.seen[path].seen = b""
        elif kind == "write":
            self.seen[path].seen += rest[0]
        elif kind == "sync" and self.seen[path] is not None:
            self.seen[path].kept = self.seen[path].seen
        elif kind == "sync":
            for change in [change for change in self.pending if change[0] == path]:
                self._settle(self.kept, change)
            self.pending = [change for change in self.pending if change[0] != path]
        elif kind == "rename":
            self._change(path, {rest[0]: self.seen[path]}, [path])
        elif kind == "unlink":
            self._change(path, {}, [path])
        elif kind == "mkdir":
            self._change(path, {path: None}, [])

    def _change(self, path: str, made: dict[str, File | None], removed: list[str]) -> None:
        change = (str(Path(path).parent), made, removed)
        self._settle(self.seen, change)
        self.pending.append(change)

    @staticmethod
    def _settle(names: dict[str, File | None], change: tuple[str, dict[str, File | None], list[str]]) -> None:
        for path in change[2]:
            names.pop(path, None)
        names.update(change[1])

    def remains(self, chance: random.Random) -> Iterator[dict[str, bytes | None]]:
        """Yield what may be left: only what is safe; every name but no unsafe byte; everything; and two mixtures."""
        yield self._left(lambda: False, lambda: 0.0)
        yield self._left(lambda: True, lambda: 0.0)
        yield self._left(lambda: True, lambda: 1.0)
        for _ in range(2):
            yield self._left(lambda: chance.random() < 0.5, chance.random)

    def _left(self, name_lasts: Any, share: Any) -> dict[str, bytes | None]:
        names = dict(self.kept)
        for change in self.pending:
            if name_lasts():
                self._settle(names, change)
        left: dict[str, bytes | None] = {}
        for path, file in sorted(names.items()):
            if not all(str(parent) in left for parent in Path(path).parents if str(parent) in self.seen):
                continue  # its directory is not there
            if file is None or not file.seen.startswith(file.kept):
                left[path] = None if file is None else file.kept
            else:
                left[path] = (
                    file.kept + file.seen[len(file.kept) :][: round(share() * (len(file.seen) - len(file.kept)))]
                )
        return left


def lay_out(left: dict[str, bytes | None], root: Path, place: Path) -> None:
    """Write what is left of a root to another place."""
    for path, content in left.items():
        target = place / Path(path).relative_to(root)
        if content is None:
            target.mkdir()
        else:
            target.write_bytes(content)


assert all(hasattr(os, name) for name in OPERATIONS)
assert all(module.os is os for module in WRITERS)
