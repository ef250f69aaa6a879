"""The articles of clothing of Fashion-MNIST."""

from trainctl.components.dataset._published import idx_images
from trainctl.components.dataset.base import Dataset, PathText

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def fashion_mnist(*, root: PathText | None, download: bool) -> Dataset:
    """Return Fashion-MNIST: 60,000 + 10,000 images of clothing of 28 x 28 pixels, 10 classes.

    Args:
        root: Directory that contains ``FashionMNIST/raw/`` in the layout of torchvision; null: ``~/.cache/trainctl``.
        download: Whether missing files may be downloaded (by torchvision, 31 MB).

    Returns:
        Images ``(N, 1, 28, 28)`` and classes ``(N,)``; the source's test split is the test split.

    Raises:
        DataError: If files are missing, damaged, or cannot be downloaded.

    Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747.
    """
    return idx_images("FashionMNIST", root=root, download=download, class_names=CLASSES)
