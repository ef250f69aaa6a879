"""The handwritten digits of MNIST."""

from trainctl.components.dataset._published import idx_images
from trainctl.components.dataset.base import Dataset, PathText


def mnist(*, root: PathText | None, download: bool) -> Dataset:
    """Return MNIST: 60,000 + 10,000 handwritten digits of 28 x 28 pixels, 10 classes.

    Args:
        root: Directory that contains ``MNIST/raw/`` in the layout of torchvision; null: ``~/.cache/trainctl``.
        download: Whether missing files may be downloaded (by torchvision, 12 MB).

    Returns:
        Images ``(N, 1, 28, 28)`` and classes ``(N,)``; the source's test split is the test split.

    Raises:
        DataError: If files are missing, damaged, or cannot be downloaded.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document
    recognition, 1998.
    """
    return idx_images("MNIST", root=root, download=download, class_names=tuple("0123456789"))
