"""Extract only the requested members of a tar file, compressed or not."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.place import check_file

LARGEST_MEMBER, MOST_MEMBERS = 2**28, 1000  # bytes per member (CIFAR's have 31 MB), and number of members


def extract(archive: Path, directory: Path, names: Sequence[str]) -> None:
    """Extract the named members of a tar file: no links, devices or other paths.

    Args:
        archive: The file.
        directory: The members are written below this directory.
        names: The paths of the members.

    Raises:
        DataError: If the archive cannot be read, or a member is missing, is not a regular file or is larger than
            256 MiB.
        OSError: If a member cannot be written.
    """
    check_file(archive)
    for name, content in _members(archive, names):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # so that a link is not followed
        target.write_bytes(content)


def _members(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the named members and their content, in the order of the archive."""
    missing = dict.fromkeys(names)
    with reading(archive), tarfile.open(archive) as tar:
        for number, member in enumerate(tar):
            if number > MOST_MEMBERS:
                raise DataError(f"{archive}: contains more than {MOST_MEMBERS} members")
            if member.name not in missing:
                continue
            if not member.isreg() or member.size > LARGEST_MEMBER:
                raise DataError(f"{archive}: {member.name} is not a regular file of at most {LARGEST_MEMBER:,} bytes")
            content = tar.extractfile(member)
            assert content
            yield member.name, content.read()
            missing.pop(member.name)
            if not missing:
                return
    raise DataError(f"{archive}: contains no {next(iter(missing))}")
