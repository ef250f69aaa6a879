"""Rows that were converted once, in the cache: ``inputs.npy``, ``targets.npy`` and ``about.json``. Imports no torch.

A conversion is written aside, synced and renamed, so nobody sees half of it. A lock that ends with its process lets others
wait instead of converting the same files again. The cache knows size, times and inode of the files, and their content, as
:mod:`trainctl.fileformat.pixel_cache` does: if the files changed, they are converted again.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from trainctl.errors import DataError, StorageError
from trainctl.fileformat.cache_record import read_record, replace_file, sync_directory
from trainctl.fileformat.pixel_cache import Status, status_of
from trainctl.fileformat.rows_file import HEADER_BYTES, RowsFile, RowsWriter
from trainctl.fileformat.waiting import waiting

VERSION = 1  # of the conversion: changed where the same files give other rows
CHUNK = 1 << 22  # bytes that are hashed at once


@dataclass(frozen=True)
class Source:
    """What rows are converted from.

    Args:
        files: The files, in their order.
        name: What they are called in messages.
        settings: All that changes the result for the same files, as JSON has it.
        cache: The directory of all conversions.
        place: The directory or pattern in which the files were found, if they may become others; empty: the files alone.
    """

    files: Sequence[Path]
    name: str
    settings: object
    cache: Path
    place: str = ""

    @property
    def key(self) -> str:
        """Return what distinguishes the conversions of different files and settings."""
        text = json.dumps([VERSION, self.settings], sort_keys=True, default=str)
        paths = [os.fsencode(os.path.abspath(file)) for file in ([self.place] if self.place else self.files)]  # noqa: PTH100 - does not follow links
        return hashlib.sha256(b"\0".join([text.encode(), *paths])).hexdigest()[:24]


@dataclass(frozen=True)
class Packed:
    """Converted rows.

    Args:
        inputs: The rows.
        targets: Their targets, in memory.
        root: Hash of all inputs [hex].
        facts: What else the conversion found out, plain values.
        notes: Messages for the user.
    """

    inputs: RowsFile
    targets: np.ndarray
    root: str
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass
class Packer:
    """Where a conversion writes.

    Args:
        directory: A new one.
        facts: What is to be kept with the rows, plain values.
    """

    directory: Path
    facts: dict[str, Any] = field(default_factory=dict)
    inputs: RowsFile | None = None
    targets: RowsFile | None = None

    def writer(self, name: str, row: tuple[int, ...], dtype: Any, *, hashes: bool = True) -> RowsWriter:
        """Return what writes a file of rows, without hashes if it is read once and removed."""
        return RowsWriter(self.directory / f"{name}.npy", row, np.dtype(dtype), hashes=hashes)

    def add_targets(self, targets: np.ndarray) -> None:
        """Write the targets, which are in memory."""
        writer = self.writer("targets", targets.shape[1:], targets.dtype)
        writer.add(targets)
        self.targets = writer.close()


def packed(source: Source, convert: Callable[[Packer], None]) -> Packed:
    """Return the rows that files were converted to: from the cache, or by converting them now.

    Args:
        source: The files.
        convert: Writes ``inputs`` and ``targets`` with a :class:`Packer`, and notes its ``facts``.

    Raises:
        DataError: If the files cannot be converted, or converted rows have changed on disk.
        StorageError: If there is no space for them.
    """
    status = _status(source)
    if found := _find(source, status):
        return found
    with _writing(source.cache):
        source.cache.mkdir(parents=True, exist_ok=True)
    with _locked(source):
        if found := _find(source, status):  # another process has just converted them
            return found
        older = _directories(source)
        content = _content(source)
        if found := _same_content(source, content, status):
            return found
        _convert(source, convert, content, status)
        found = _find(source, status, content)
        assert found is not None
        older = [directory for directory in older if directory != found.inputs.path.parent]
        for directory in older:
            shutil.rmtree(directory, ignore_errors=True)
    changed = f"{source.name} has changed since it was converted, and was converted again"
    note = (changed,) if older else ()
    return Packed(found.inputs, found.targets, found.root, found.facts, note)


def existing(source: Source) -> Packed | None:
    """Return the rows that files were converted to before; None if they were not, or have changed since."""
    status = _status(source)
    if found := _find(source, status):
        return found
    return _find(source, status, _content(source)) if _directories(source) else None


def _status(source: Source) -> Status:
    return status_of(source.files, [os.fsencode(file) for file in source.files])


def _directories(source: Source) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in source.cache.glob(f"{source.key}-*") if path.suffix != ".tmp" and path.is_dir())
    return []


def _find(source: Source, status: Status, content: str = "") -> Packed | None:
    """Return the conversion of files with a status, or with a content."""
    for directory in _directories(source):
        about = _about(directory)
        same = about.get("content") == content if content else about.get("status") == status.digest and status.digest
        if same and about.get("seal") == _seal(about) and (found := _open(directory, about)):
            return found
    return None


def _same_content(source: Source, content: str, status: Status) -> Packed | None:
    """Return the conversion of files with the same content and another status, which is remembered."""
    found = _find(source, status, content)
    if found:
        directory = found.inputs.path.parent
        about = _about(directory) | {"status": status.digest if status.settled else ""}
        with suppress(OSError):
            replace_file(directory / "about.json", json.dumps(about).encode())
    return found


def _about(directory: Path) -> dict[str, Any]:
    """Return what is known of a conversion; nothing if it is damaged."""
    return read_record(directory / "about.json")


def _seal(about: dict[str, Any]) -> str:
    """Return the hash of a description [hex]; a damaged one, such as another name of a class, would change results silently."""
    sealed = {key: value for key, value in about.items() if key not in ("seal", "status")}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


def _open(directory: Path, about: dict[str, Any]) -> Packed | None:
    """Open a conversion; None if its description is damaged, or a file was removed.

    Raises:
        DataError: If the targets have changed or are damaged.
    """
    cure = f"remove {directory} to convert again"
    try:
        inputs, targets = (
            RowsFile(
                directory / f"{name}.npy",
                HEADER_BYTES,
                tuple(map(int, about[name]["shape"])),
                np.lib.format.descr_to_dtype(about[name]["dtype"]),
                [bytes.fromhex(one) for one in about[name]["hashes"]],
                cure,
            )
            for name in ("inputs", "targets")
        )
        facts = dict(about["facts"])
    except Exception:  # noqa: BLE001 - plain values of any kind, in our constructors and NumPy's
        return None
    if targets.dtype.kind not in "fi" or inputs.dtype.kind not in "fui":
        return None
    if not (inputs.path.exists() and targets.path.exists()):
        return None
    return Packed(inputs, targets.read(0, len(targets)), inputs.root, facts)


def _convert(source: Source, convert: Callable[[Packer], None], content: str, status: Status) -> None:
    """Convert the files into a directory aside, and rename it."""
    aside = source.cache / f"{source.key}-{secrets.token_hex(8)}.tmp"
    for abandoned in source.cache.glob(f"{source.key}-*.tmp"):  # whoever wrote it was killed, as the lock is ours
        shutil.rmtree(abandoned, ignore_errors=True)
    try:
        with _writing(source.cache):
            aside.mkdir()
            packer = Packer(aside)
            convert(packer)
            assert packer.inputs is not None
            assert packer.targets is not None
            about = {
                "source": source.place or [str(file) for file in source.files],
                "status": status.digest if status.settled else "",
                "content": content,
                "inputs": _described(packer.inputs),
                "targets": _described(packer.targets),
                "facts": packer.facts,
            }
            about = json.loads(json.dumps(about))  # as it is read: the keys of JSON are texts
            replace_file(aside / "about.json", json.dumps(about | {"seal": _seal(about)}).encode())
            sync_directory(aside)
            if _status(source).digest != status.digest:
                raise DataError(f"{source.name}: changed while it was converted; start again")
            final = source.cache / f"{source.key}-{content[:24]}"
            shutil.rmtree(final, ignore_errors=True)  # a damaged one
            aside.rename(final)
            sync_directory(source.cache)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _described(rows: RowsFile) -> dict[str, Any]:
    hashes = [one.hex() for one in rows.hashes]
    return {"shape": list(rows.shape), "dtype": np.lib.format.dtype_to_descr(rows.dtype), "hashes": hashes}


def _content(source: Source) -> str:
    """Return a hash of the names and bytes of all files [hex]."""
    digest, total = hashlib.sha256(), 0
    with suppress(OSError):
        total = sum(file.stat().st_size for file in source.files)
    with waiting(f"reading {source.name}", max(1, total >> 20), "MiB") as wait:
        read = 0
        for file in source.files:
            digest.update(hashlib.sha256(os.fsencode(file)).digest())
            inner = hashlib.sha256()
            try:
                with file.open("rb") as opened:
                    while chunk := opened.read(CHUNK):
                        inner.update(chunk)
                        read += len(chunk)
                        wait.done = read >> 20
            except OSError as error:
                inner.update(f"error {error.strerror}".encode())
            digest.update(inner.digest())
    return digest.hexdigest()


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    """Convert errors of the disk to errors that name the directory and what helps."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{cache}: rows cannot be written: {error.strerror or error}; set dataset.cache to another directory"
        ) from error


@contextmanager
def _locked(source: Source) -> Iterator[None]:
    """Let one process at a time convert; the system ends the lock with its process. Without locks, the last one wins."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with _writing(source.cache):
        file: IO[bytes] = (source.cache / f"{source.key}.lock").open("ab")
    with file:
        with waiting(f"another process is converting {source.name}, waiting for it"), suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)  # a file system without locks
        yield
