"""A file, perhaps packed by gzip, bzip2, xz or ZIP -> its bytes, within limits. Imports no torch."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import IO

from trainctl.errors import DataError
from trainctl.fileformat.at_most import read_at_most
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.foreign import HEAD, foreign, in_zip
from trainctl.fileformat.place import check_file
from trainctl.wording import amount

# How much a packed file may unpack to: so many bytes always, or so many times its packed size.
MOST_BYTES, MOST_TIMES = 2**28, 200
PACKERS: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\x1f\x8b": partial(gzip.open, mode="rb"),  # type: ignore[dict-item]
    b"BZh": partial(bz2.open, mode="rb"),
    b"\xfd7zXZ\0": partial(lzma.open, mode="rb"),
}
ENDINGS = frozenset({".gz", ".bz2", ".xz", ".zip"})


def ending(path: PurePath) -> str:
    """Return the suffix that says what a file contains, in lower case: that before the one of a packer.

    >>> ending(PurePath("a.CSV")), ending(PurePath("a.tsv.gz"))
    ('.csv', '.tsv')
    """
    suffix = path.suffix.lower()
    return ending(path.with_suffix("")) if suffix in ENDINGS and path.with_suffix("").suffix else suffix


def read_unpacked(path: Path, what: str = "cannot be read as CSV") -> bytes:
    """Return the bytes of a file, unpacked if necessary.

    Args:
        path: The file.
        what: What the message says.

    Raises:
        DataError: If it cannot be read, is damaged, unpacks to too much, or is of a kind that contains no plain text;
            the message says what it is and what to do.
    """
    check_file(path)
    with reading(path, what=what), path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(0)
        limit = max(MOST_BYTES, MOST_TIMES * path.stat().st_size)
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            content = _member(path, file, limit)
        else:
            packer = next((PACKERS[start] for start in PACKERS if head.startswith(start)), None)
            if packer and head.startswith(b"BZh") and head[4:6] != b"1A":  # a header such as BZh,x
                packer = None
            content = _unpacked(path, packer, limit) if packer else file.read()
    return plain(path, content)


def plain(path: Path, content: bytes) -> bytes:
    """Return content that may be plain text.

    Raises:
        DataError: If it is of a kind that contains none; the message says what it is and what to do.
    """
    if kind := foreign(content[:HEAD]):
        raise DataError(f"{path}: this is {kind}")
    return content


@contextmanager
def opened(path: Path, what: str = "cannot be read as CSV") -> Iterator[tuple[IO[bytes], int]]:
    """Open a file to read its bytes one after the other, unpacked if necessary, and the most that there may be.

    Raises:
        DataError: As :func:`read_unpacked`.
    """
    check_file(path)
    with ExitStack() as stack:
        with reading(path, what=what):
            file: IO[bytes] = stack.enter_context(path.open("rb"))
            head = file.read(HEAD)
            file.seek(0)
            limit = max(MOST_BYTES, MOST_TIMES * path.stat().st_size)
            if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
                archive = stack.enter_context(zipfile.ZipFile(file))
                file = stack.enter_context(archive.open(_only(path, archive)))
            else:
                packer = next((PACKERS[start] for start in PACKERS if head.startswith(start)), None)
                if packer and not (head.startswith(b"BZh") and head[4:6] != b"1A"):  # a header such as BZh,x
                    file = stack.enter_context(packer(path))
        yield file, limit


def _member(path: Path, file: IO[bytes], limit: int) -> bytes:
    with zipfile.ZipFile(file) as archive, archive.open(_only(path, archive)) as member:
        return _bounded(path, member, limit)


def _only(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the only file of a ZIP.

    Raises:
        DataError: If there are several, or it is one that contains no plain text.
    """
    names = [entry.filename for entry in archive.infolist()]
    if kind := in_zip(names):
        raise DataError(f"{path}: this is {kind}")
    plain = [
        entry
        for entry in archive.infolist()
        if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
        and not PurePath(entry.filename).name.startswith(".")
    ]  # fmt: skip
    if len(plain) != 1:
        shown = ", ".join(entry.filename for entry in plain[:5])
        raise DataError(
            f"{path}: this is a ZIP of {amount(len(plain), 'file')} ({shown}); unpack it and give the one with the table"
        )
    if plain[0].flag_bits & 1:
        raise DataError(f"{path}: {plain[0].filename} is encrypted; unpack it first")
    return plain[0]


def _unpacked(path: Path, packer: Callable[[Path], IO[bytes]], limit: int) -> bytes:
    with packer(path) as file:
        return _bounded(path, file, limit)


def _bounded(path: Path, file: IO[bytes], limit: int) -> bytes:
    content = read_at_most(file, limit + 1)
    if len(content) > limit:
        raise DataError(f"{path}: unpacks to more than {limit:,} bytes; unpack it first if that is expected")
    return content
