"""Files of a data set that are missing -> downloaded from where torchvision knows them, checked by their MD5, unpacked."""

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.archive import extract


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
