"""Files of a data set that are missing -> downloaded from where torchvision knows them, checked by their MD5, unpacked."""

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import DataError

LARGEST_MEMBER, MOST_MEMBERS = 2**28, 1000  # bytes, and number, of an archive's members; CIFAR's have 31 MB


def download(name: str, root: Path) -> None:
    """Download one of torchvision's data sets and lay its files out as torchvision does.

    Args:
        name: torchvision's class: ``MNIST``, ``CIFAR10``, ...
        root: Directory for the files; created if need be.

    Raises:
        DataError: If a file cannot be downloaded, or is not the one that torchvision expects.
    """
    import torchvision  # here, because it costs a second that existing files need not pay
    from torchvision.datasets.utils import download_url

    source = getattr(torchvision.datasets, name)
    try:
        if hasattr(source, "tgz_md5"):
            download_url(source.url, root, source.filename, source.tgz_md5)
            members = [f"{source.base_folder}/{member}" for member, _ in source.train_list + source.test_list]
            extract(root / source.filename, root, members)
        for filename, digest in getattr(source, "resources", ()):
            _from_mirrors(source.mirrors, root / name / "raw", filename, digest)
    except (OSError, RuntimeError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(
            f"{name} could not be downloaded to {root}: {' '.join(str(error).split())}; where the files exist, give dataset.root="
        ) from error


def _from_mirrors(mirrors: Sequence[str], folder: Path, filename: str, digest: str) -> None:
    """Download a file from the first mirror that has it with the right MD5; it stays packed."""
    from torchvision.datasets.utils import download_url

    for mirror in mirrors:
        try:
            download_url(f"{mirror}{filename}", folder, filename, digest)
            return
        except (OSError, RuntimeError):
            if mirror == mirrors[-1]:
                raise


def extract(archive: Path, folder: Path, names: Sequence[str]) -> None:
    """Extract the named members of a tar file, and nothing else: no links, devices or other paths.

    Args:
        archive: The file, packed or not.
        folder: Where the members go.
        names: Paths of the members in the archive.

    Raises:
        DataError: If one is missing, is not a plain file, or is larger than 256 MiB.
        OSError, tarfile.TarError: If the archive cannot be read, or the files cannot be written.
    """
    with tarfile.open(archive) as tar:
        missing = dict.fromkeys(names)
        for number, member in enumerate(tar):
            if number > MOST_MEMBERS:
                raise DataError(f"{archive}: has more than {MOST_MEMBERS} members")
            if member.name not in missing:
                continue
            if not member.isreg() or member.size > LARGEST_MEMBER:
                raise DataError(f"{archive}: {member.name} is not a plain file of at most {LARGEST_MEMBER:,} bytes")
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content
            target.unlink(missing_ok=True)  # never written through a link
            target.write_bytes(content.read())
            missing.pop(member.name)
            if not missing:
                return
    raise DataError(f"{archive}: has no member {next(iter(missing))}")
