"""Tar files of samples, as WebDataset writes them -> an index, by which any member is read at once. Imports no torch.

A tar is read through once, header by header, which skips the contents; nothing is extracted. The members of a sample have
one name and different endings: ``0001.jpg`` and ``0001.cls``.
"""

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from trainctl.errors import DataError, lacks_memory
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import open_regular
from trainctl.fileformat.waiting import counted

LARGEST_LABEL = 1 << 10  # bytes
LARGEST_IMAGE = 1 << 30
LARGEST_HEADER = 1 << 20  # bytes that are read at once; a name of 100,000 characters takes a tenth of it
BLOCK = 512  # bytes; a tar ends with blocks of zeros


@dataclass(frozen=True)
class Member:
    """A file in a tar.

    Args:
        shard: The tar.
        name: The name of the sample.
        ending: What follows the first dot of its name, in lower case.
        start: Where it begins [bytes].
        size: Its size [bytes].
    """

    shard: Path
    name: str
    ending: str
    start: int
    size: int

    @property
    def path(self) -> Path:
        """Return what it is called in messages."""
        return Path(f"{self.shard}:{self.name}.{self.ending}")

    def read(self, largest: int = LARGEST_IMAGE) -> bytes:
        """Return its bytes.

        Raises:
            DataError: If the tar file ends early, or cannot be read.
        """
        if self.size > largest:
            raise DataError(f"{self.path}: is larger than {largest:,} bytes")
        with reading(self.path), open_regular(self.shard) as file:
            file.seek(self.start)
            content = file.read(self.size)
        if len(content) < self.size:
            raise DataError(f"{self.path}: the tar file ends early: it is truncated")
        return content


@dataclass
class Index:
    """The samples of tar files, in the order in which they are there.

    Args:
        images: The image of each sample.
        labels: The label of each sample; None if it has none.
        others: How many members are neither.
        cut: What is wrong with files that end early, or are damaged so that no more of their members are found.
    """

    images: list[Member] = field(default_factory=list)
    labels: list[Member | None] = field(default_factory=list)
    others: int = 0
    cut: list[str] = field(default_factory=list)


def index_of(shards: Sequence[Path], endings: frozenset[str], label: str) -> Index:
    """Return the samples of tar files.

    Args:
        shards: The files.
        endings: The last endings of images, with a dot.
        label: The ending of labels, without a dot.

    Raises:
        DataError: If a file is no tar, is packed or damaged, or a sample has several images.
    """
    found = Index()
    for shard in counted(shards, "indexing", len(shards), "files"):
        members, cut = _members(shard)
        found.cut += cut
        samples: dict[str, tuple[Member | None, Member | None]] = {}
        for member in members:
            image, text = samples.get(member.name, (None, None))
            if member.ending == label:
                text = member
            elif f".{member.ending.rpartition('.')[2]}" in endings:
                if image is not None:
                    raise DataError(f"{member.path}: a second image of this sample, besides .{image.ending}")
                image = member
            else:
                found.others += 1
                continue
            samples[member.name] = image, text
        if cut and members and None in samples.get(members[-1].name, ()):
            del samples[members[-1].name]  # its other member is lost
        for image, text in samples.values():
            if image is None:
                assert text is not None
                raise DataError(f"{text.path}: this sample has no image")
            found.images.append(image)
            found.labels.append(text)
    return found


class _Headers:
    """A file of which tarfile reads headers alone: what claims to be a longer one would fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            ReadError: If they are more than a header has.
        """
        if not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError("a header of a damaged size")
        return self.file.read(size)


def _members(shard: Path) -> tuple[list[Member], list[str]]:
    """Return the files in a tar, and what is wrong if it ends early; tarfile takes a damaged header for the end."""

    def explain(error: Exception) -> str | None:
        if isinstance(error, tarfile.ReadError | tarfile.CompressionError):
            hint = "if it is compressed, unpack it first (gunzip), because members are read in any order"
            return f"{shard}: cannot be read as a tar; {hint}"
        return None

    found: list[Member] = []
    with reading(shard, explain=explain), open_regular(shard) as file:
        headers: Any = _Headers(file)
        with tarfile.open(fileobj=headers, mode="r:") as opened:
            try:
                for member in opened:
                    if member.size < 0:  # whose end is before its beginning: tarfile would find it again, for ever
                        break
                    path = Path(member.name)
                    if member.isreg() and not path.name.startswith("."):
                        name, _, ending = path.name.partition(".")
                        name = str(path.parent / name)
                        found.append(Member(shard, name, ending.lower(), member.offset_data, member.size))
            except Exception as error:
                if lacks_memory(error):
                    raise
            file.seek(max(0, opened.offset))
            end, length = file.read(BLOCK), file.seek(0, os.SEEK_END)
    if end == bytes(BLOCK):
        return found, []
    found = [member for member in found if member.start + member.size <= length]
    what = "it is damaged there" if end else "its end is missing"
    return found, [f"{shard}: no more members are found from byte {max(0, opened.offset):,} on: {what}"]
