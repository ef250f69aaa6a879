"""A tar file, packed or not -> the few members that are asked for, and nothing else that it contains."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import DataError

LARGEST_MEMBER, MOST_MEMBERS = 2**28, 1000  # bytes of a member, and members; CIFAR's have 31 MB


def extract(archive: Path, directory: Path, names: Sequence[str]) -> None:
    """Extract the named members of a tar file: no links, devices or other paths.

    Args:
        archive: The file, packed or not.
        directory: Where the members are written.
        names: Paths of the members in the archive.

    Raises:
        DataError: If one is missing, is not a regular file, or is larger than 256 MiB.
        OSError, tarfile.TarError: If the archive cannot be read, or the files cannot be written.
    """
    with tarfile.open(archive) as tar:
        missing = dict.fromkeys(names)
        for number, member in enumerate(tar):
            if number > MOST_MEMBERS:
                raise DataError(f"{archive}: contains more than {MOST_MEMBERS} members")
            if member.name not in missing:
                continue
            if not member.isreg() or member.size > LARGEST_MEMBER:
                raise DataError(f"{archive}: {member.name} is not a regular file of at most {LARGEST_MEMBER:,} bytes")
            target = directory / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content
            target.unlink(missing_ok=True)  # never written through a link
            target.write_bytes(content.read())
            missing.pop(member.name)
            if not missing:
                return
    raise DataError(f"{archive}: contains no {next(iter(missing))}")
