"""The small colour photographs of CIFAR-10."""

from trainctl.components.dataset._published import cifar_images
from trainctl.components.dataset.base import Dataset, PathText

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def cifar10(*, root: PathText | None, download: bool) -> Dataset:
    """Return CIFAR-10: 50,000 + 10,000 colour photographs of 32 x 32 pixels, 10 classes.

    The files are pickles. They are read without executing anything: everything but plain values and arrays is rejected.

    Args:
        root: Directory that contains ``cifar-10-batches-py/`` in the layout of torchvision; null: ``~/.cache/trainctl``.
        download: Whether missing files may be downloaded (by torchvision, 171 MB).

    Returns:
        Images ``(N, 3, 32, 32)`` and classes ``(N,)``; the source's test split is the test split.

    Raises:
        DataError: If files are missing, damaged, or cannot be downloaded.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    return cifar_images(
        "CIFAR10",
        "cifar-10-batches-py",
        (*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"),
        "labels",
        root=root,
        download=download,
        class_names=CLASSES,
    )
