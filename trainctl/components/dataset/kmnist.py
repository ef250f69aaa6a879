"""The cursive Japanese characters of Kuzushiji-MNIST."""

from trainctl.components.dataset._published import idx_images
from trainctl.components.dataset.base import Dataset, PathText

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def kmnist(*, root: PathText | None, download: bool) -> Dataset:
    """Return Kuzushiji-MNIST: 60,000 + 10,000 cursive characters of 28 x 28 pixels, 10 classes.

    Args:
        root: Directory that contains ``KMNIST/raw/`` in the layout of torchvision; null: ``~/.cache/trainctl``.
        download: Whether missing files may be downloaded (by torchvision, 21 MB).

    Returns:
        Images ``(N, 1, 28, 28)`` and classes ``(N,)``; the source's test split is the test split.

    Raises:
        DataError: If files are missing, damaged, or cannot be downloaded.

    Source: T. Clanuwat et al., Deep learning for classical Japanese literature, 2018, arXiv:1812.01718.
    """
    return idx_images("KMNIST", root=root, download=download, class_names=CLASSES)
