"""Read the files of data sets that scikit-learn contains or torchvision downloads."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import torch

from trainctl.components.dataset.base import Dataset, cache_directory
from trainctl.errors import DataError, UnavailableError
from trainctl.fileformat.cifar import read_batch
from trainctl.fileformat.download import download as fetch
from trainctl.fileformat.idx import read_idx


def sklearn_file(name: str) -> Path:
    """Return the path of a data file of scikit-learn without importing scikit-learn, which takes 1.2 s."""
    spec = importlib.util.find_spec("sklearn")
    for root in spec.submodule_search_locations or () if spec else ():
        if (path := Path(root, "datasets", "data", name)).is_file():
            return path
    raise UnavailableError(
        f"scikit-learn's data file {name} is not installed: pip install --force-reinstall scikit-learn"
    )


def sklearn_classes(name: str, input_names: tuple[str, ...]) -> Dataset:
    """Read one of scikit-learn's classification tables: a header with the class names, then numbers."""
    path = sklearn_file(name)
    with path.open(encoding="utf-8") as file:
        class_names = tuple(file.readline().strip().split(",")[2:])
        rows = np.loadtxt(file, delimiter=",", ndmin=2)
    return Dataset(
        inputs=torch.from_numpy(rows[:, :-1]).float(),
        targets=torch.from_numpy(rows[:, -1]).long(),
        task="classification",
        class_names=class_names,
        input_names=input_names,
    )


def _root(root: str | None) -> Path:
    """Return the directory of torchvision's files: ``root``, or by default the cache directory."""
    if root is None:
        return cache_directory("root")
    directory = Path(os.path.expanduser(root))  # noqa: PTH111 - pathlib's raises
    if not directory.is_dir():
        raise DataError(f"dataset.root={root}: no such directory")
    return directory


def _complete(name: str, root: Path, folder: Path, missing: list[str], *, download: bool) -> None:
    """Download a data set if files are missing.

    Raises:
        DataError: If files are missing and may not be downloaded, or the download fails.
    """
    if missing and not download:
        raise DataError(f"{folder}: {', '.join(missing)} missing: set dataset.download=true or dataset.root")
    if missing:
        fetch(name, root)


def idx_images(name: str, *, root: str | None, download: bool, class_names: tuple[str, ...]) -> Dataset:
    """Read a data set from four IDX files like those of MNIST, in torchvision's layout: ``<root>/<name>/raw/``.

    Args:
        name: Name of torchvision's class: ``MNIST``, ``FashionMNIST``, ...
        root: Directory of existing files; null for ``~/.cache/trainctl``, created if necessary.
        download: Whether torchvision may download missing files.
        class_names: Name of each label.

    Raises:
        DataError: If files are missing, cannot be downloaded, or do not match each other.
    """
    directory = _root(root)
    raw = directory / name / "raw"
    stems = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    missing = [stem for stem in stems if not (raw / stem).exists() and not (raw / f"{stem}.gz").exists()]
    _complete(name, directory, raw, missing, download=download)
    train, test = (_idx_pair(raw / stem, raw / labels, len(class_names)) for stem, labels in (stems[:2], stems[2:]))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(f"{raw}: images for training and test have different sizes")
    return Dataset(
        inputs=torch.from_numpy(np.concatenate([train[0], test[0]])[:, None]),
        targets=torch.from_numpy(np.concatenate([train[1], test[1]])).long(),
        task="classification",
        class_names=class_names,
        test_rows=len(test[1]),
    )


def _idx_pair(images: Path, labels: Path, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of images ``(N, H, W)`` and the file of their labels ``(N,)``."""
    inputs, targets = read_idx(images), read_idx(labels)
    if inputs.ndim != 3 or targets.ndim != 1 or len(inputs) != len(targets):
        raise DataError(
            f"{images.parent}: {images.name} has shape {inputs.shape}, {labels.name} has {targets.shape}:"
            " these do not match"
        )
    if 0 in inputs.shape[1:]:
        raise DataError(f"{images}: the images have no pixels (shape {inputs.shape[1:]})")
    if len(targets) and int(targets.max()) >= classes:
        row = int(targets.argmax())
        raise DataError(f"{labels}: label {int(targets[row])} in row {row} is not in 0..{classes - 1}")
    return inputs, targets


def cifar_images(
    name: str,
    folder: str,
    batches: tuple[str, ...],
    labels: str,
    *,
    root: str | None,
    download: bool,
    class_names: tuple[str, ...],
) -> Dataset:
    """Read a CIFAR data set in torchvision's layout: ``<root>/<folder>/<batch>``.

    Args:
        name: Name of torchvision's class.
        folder: Name of its directory.
        batches: Names of its files; the last one contains the test split.
        labels: Key of the labels in a file.
        root: Directory of existing files; null for ``~/.cache/trainctl``, created if necessary.
        download: Whether torchvision may download missing files.
        class_names: Name of each label.

    Raises:
        DataError: If files are missing, damaged, or cannot be downloaded.
    """
    directory = _root(root)
    files = [directory / folder / batch for batch in batches]
    missing = [file.name for file in files if not file.exists()]
    _complete(name, directory, directory / folder, missing, download=download)
    parts = [_cifar_batch(file, labels, len(class_names)) for file in files]
    return Dataset(
        inputs=torch.from_numpy(np.concatenate([images for images, _ in parts])),
        targets=torch.from_numpy(np.concatenate([targets for _, targets in parts])),
        task="classification",
        class_names=class_names,
        test_rows=len(parts[-1][1]),
    )


def _cifar_batch(file: Path, labels: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read images ``(N, 3, 32, 32)`` and their labels ``(N,)``."""
    images, targets = read_batch(file, labels)
    if len(wrong := ((targets < 0) | (targets >= classes)).nonzero()[0]):
        raise DataError(f"{file}: label {targets[wrong[0]]} in row {wrong[0]} is not in 0..{classes - 1}")
    return images, targets
