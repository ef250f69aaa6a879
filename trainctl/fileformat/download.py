"""Download the missing files of torchvision's data sets, check their MD5 and unpack them."""

from collections.abc import Sequence
from pathlib import Path

from trainctl.fileformat.archive import extract
from trainctl.fileformat.boundary import reading, reason


def download(name: str, root: Path) -> None:
    """Download one of torchvision's data sets, with the same directory layout as torchvision.

    Args:
        name: torchvision's class: ``MNIST``, ``CIFAR10``, ...
        root: Directory for the files; created if necessary.

    Raises:
        DataError: If a file cannot be downloaded, or does not have the MD5 that torchvision expects.
    """
    import torchvision  # here, because it takes a second, which is wasted if the files exist
    from torchvision.datasets.utils import download_url

    source = getattr(torchvision.datasets, name)

    def explain(error: Exception) -> str:
        return f"{name} could not be downloaded to {root}: {reason(error)}; where the files exist, set dataset.root="

    with reading(name, explain=explain):
        if hasattr(source, "tgz_md5"):
            download_url(source.url, root, source.filename, source.tgz_md5)
            members = [f"{source.base_folder}/{member}" for member, _ in source.train_list + source.test_list]
            extract(root / source.filename, root, members)
        for filename, digest in getattr(source, "resources", ()):
            _from_mirrors(source.mirrors, root / name / "raw", filename, digest)


def _from_mirrors(mirrors: Sequence[str], folder: Path, filename: str, digest: str) -> None:
    """Download a file from the first mirror that has it with the right MD5, without unpacking it."""
    from torchvision.datasets.utils import download_url

    for mirror in mirrors:
        try:
            download_url(f"{mirror}{filename}", folder, filename, digest)
            return
        except Exception:  # the network and torchvision raise many types of errors
            if mirror == mirrors[-1]:
                raise
