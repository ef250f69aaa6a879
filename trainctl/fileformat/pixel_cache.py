"""Decoded images on disk, found again by the content of the files that they come from. Imports no torch.

Two files: ``<key>-<content>.pixels``, the SHA-256 of the pixels and then the pixels, and ``<key>-<content>.json``, what
else is known of them. The key is a digest of the directory and of all that changes the result; the content is a digest of
names and bytes of the files.

Reading all bytes at every start would cost a second for each gigabyte or two, and much more on a slow disk. So the cache
also remembers size, times and inode of all files. If they are as they were, the bytes are: writing to a file sets the time
of its last change (ctime), which no program can set. That time has a resolution, though, so it is not trusted if it is less
than two seconds older than the check. Windows has no such time: all bytes are read there.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.json_text import parse_json
from trainctl.fileformat.place import is_file
from trainctl.fileformat.utf8 import read_text

VERSION = 4  # of the conversion: changed where the same files give other pixels
RECENT = 2_000_000_000  # a file that was changed less than this before the check may change again unnoticed [ns]
ABANDONED = 3600  # age of a temporary file whose writer is taken for dead [s]
LARGEST_FACTS = 2**26  # bytes


@dataclass(frozen=True)
class Status:
    """Size, times and inodes of all files.

    Args:
        digest: Of all of them.
        settled: Whether they tell that no file has changed, as long as they stay the same.
    """

    digest: str
    settled: bool


def status_of(files: Sequence[Path], names: Sequence[bytes], part: bytes = b"") -> Status:
    """Look up size, times and inode of each file; ``part`` is what else the digest depends on."""
    now = time.time_ns()
    digest, newest = hashlib.sha256(part + b"\0"), 0
    for file, name in zip(files, names, strict=True):
        try:
            status = file.stat()
        except OSError:  # it vanished
            return Status("", settled=False)
        values = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
        digest.update(b"%b\0%d %d %d %d %d\0" % (name, *values))
        newest = max(newest, status.st_ctime_ns)
    return Status(digest.hexdigest(), settled=os.name != "nt" and newest < now - RECENT)


class PixelCache:
    """The cache of one directory with one set of settings. What cannot be read or written is as if it were not there.

    Args:
        directory: Of all caches.
        root: The directory of the images.
        settings: All that changes the result for the same files.
    """

    def __init__(self, directory: Path, root: Path, settings: str) -> None:
        from PIL import __version__  # another version may decode differently

        self.directory = directory
        parts = (str(VERSION), __version__, settings)
        self.key = hashlib.sha256(b"\0".join([os.fsencode(root), *(part.encode() for part in parts)])).hexdigest()[:16]

    def exists(self) -> bool:
        """Return whether there is anything."""
        return bool(self._records())

    def find(self, kind: str, digest: str, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, Any]] | None:
        """Return pixels and facts of the files that have this digest of their ``status`` or ``content``."""
        for path in self._records():
            record = _read_record(path)
            if digest and record.get(kind) == digest and isinstance(record.get("facts"), dict):
                pixels = _read_pixels(path.with_suffix(".pixels"), record.get("pixels"), shape)
                return None if pixels is None else (pixels, record["facts"])
        return None

    def remember(self, content: str, status: Status) -> None:
        """Note the status in which files with this content were found."""
        path = self._path(content, ".json")
        record = _read_record(path) | {"status": status.digest if status.settled else ""}
        with suppress(OSError):
            self._replace(path, json.dumps(record).encode())

    def write(self, content: str, status: Status, pixels: np.ndarray, facts: dict[str, Any]) -> None:
        """Write pixels and facts in place of older ones; a failure is ignored."""
        checksum = hashlib.sha256(pixels.data).digest()
        record = {"status": status.digest if status.settled else "", "content": content, "facts": facts}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._replace(self._path(content, ".pixels"), checksum, pixels.data)
            self._replace(self._path(content, ".json"), json.dumps(record | {"pixels": checksum.hex()}).encode())
            self._remove_others(content)
        except OSError:
            return

    def _records(self) -> list[Path]:
        with suppress(OSError):
            return sorted(self.directory.glob(f"{self.key}-*.json"))
        return []

    def _path(self, content: str, suffix: str) -> Path:
        return self.directory / f"{self.key}-{content[:32]}{suffix}"

    def _replace(self, path: Path, *parts: bytes | memoryview) -> None:
        """Write a file under a name that nobody else uses, and then give it its own: nobody reads half of it."""
        temporary = path.with_name(f"{self.key}-{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as file:
                for part in parts:
                    file.write(part)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _remove_others(self, content: str) -> None:
        """Remove what was decoded from other content, and what killed processes left."""
        kept = {self._path(content, suffix) for suffix in (".pixels", ".json")}
        for path in self.directory.glob(f"{self.key}-*"):
            with suppress(OSError):
                if path.suffix == ".tmp":
                    if time.time() - path.stat().st_mtime > ABANDONED:
                        path.unlink()
                elif path not in kept:
                    path.unlink()


def _read_record(path: Path) -> dict[str, Any]:
    """Return what is known of cached pixels; empty if it is damaged."""
    try:
        record = parse_json(read_text(path, largest=LARGEST_FACTS), path)
    except DataError:
        return {}
    return record if isinstance(record, dict) else {}


def _read_pixels(path: Path, checksum: object, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return cached pixels; None if they are damaged."""
    row = int(np.prod(shape))
    try:
        if not is_file(path):
            return None
        rows, rest = divmod(path.stat().st_size - 32, row)
        if rest or rows < 0:
            return None
        pixels = np.empty((rows, *shape), dtype=np.uint8)
        with path.open("rb") as file:
            digest = file.read(32)
            complete = file.readinto(pixels.data) == pixels.nbytes
    except OSError:
        return None
    whole = complete and digest.hex() == checksum and hashlib.sha256(pixels.data).digest() == digest
    return pixels if whole else None
