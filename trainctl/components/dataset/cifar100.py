"""The small colour photographs of CIFAR-100."""

from trainctl.components.dataset._published import cifar_images
from trainctl.components.dataset.base import Dataset, PathText

CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip


def cifar100(*, root: PathText | None, download: bool) -> Dataset:
    """Return CIFAR-100: 50,000 + 10,000 colour photographs of 32 x 32 pixels, 100 classes.

    The files are pickles. They are read without executing anything: everything but plain values and arrays is rejected.

    Args:
        root: Directory that contains ``cifar-100-python/`` in the layout of torchvision; null: ``~/.cache/trainctl``.
        download: Whether missing files may be downloaded (by torchvision, 169 MB).

    Returns:
        Images ``(N, 3, 32, 32)`` and classes ``(N,)``; the source's test split is the test split.

    Raises:
        DataError: If files are missing, damaged, or cannot be downloaded.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    return cifar_images(
        "CIFAR100",
        "cifar-100-python",
        ("train", "test"),
        "fine_labels",
        root=root,
        download=download,
        class_names=CLASSES,
    )
