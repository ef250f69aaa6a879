"""What every data set returns, and the file formats that several of them share."""

import gzip
import importlib.util
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainctl.errors import DataError, UnavailableError

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Dataset:
    """A whole data set on the host, not yet split, cleaned or scaled.

    Args:
        inputs: Images ``(N, C, H, W)`` as uint8, tables ``(N, F)`` or sequences ``(N, T, F)`` as float32.
        targets: Classes ``(N,)`` as int64, or values ``(N, K)`` as float32.
        task: What the targets are.
        class_names: One for each class; empty for a regression.
        input_names: One for each column of a table; empty for images.
        target_names: One for each column of the targets of a regression.
        test_rows: How many rows at the end are the source's own test split; 0 if it has none.
    """

    inputs: Tensor
    targets: Tensor
    task: Task
    class_names: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    test_rows: int = 0

    @property
    def outputs(self) -> int:
        """How many numbers a model has to return for a row."""
        return len(self.class_names) if self.task == "classification" else self.targets.shape[1]


def sklearn_file(name: str) -> Path:
    """Return the path of a data file that scikit-learn carries, without importing scikit-learn (1.2 s)."""
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


def read_idx(path: Path) -> Tensor:
    """Read an IDX file of unsigned bytes, plain or as ``.gz``.

    Args:
        path: The file without ``.gz``; the plain file is taken if both are there.

    Returns:
        A uint8 tensor of the shape in the header.

    Raises:
        DataError: If the file is missing, or its header or length is wrong.

    Source: Y. LeCun et al., The MNIST database, "File formats".
    """
    packed = path.with_name(f"{path.name}.gz")
    try:
        content = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, nor {packed.name}") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path if path.exists() else packed}: cannot be read: {error}") from error
    path = path if path.exists() else packed
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not content[3]:
        raise DataError(
            f"{path}: not an IDX file of unsigned bytes (it starts with {content[:4].hex(' ') or 'nothing'})"
        )
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise DataError(f"{path}: truncated inside its header ({len(content)} bytes)")
    shape = struct.unpack(f">{content[3]}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path}: the header promises {math.prod(shape)} bytes of data {shape}, the file holds {len(content) - header}"
        )
    return (
        torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8).reshape(shape)
        if math.prod(shape)
        else torch.empty(shape, dtype=torch.uint8)
    )


def idx_images(name: str, *, root: str | None, download: bool, class_names: tuple[str, ...]) -> Dataset:
    """Read a data set in MNIST's four IDX files, laid out as torchvision does: ``<root>/<name>/raw/``.

    Args:
        name: torchvision's class: ``MNIST``, ``FashionMNIST``, ...
        root: Directory of existing files; null: ``~/.cache/trainctl``, made if need be.
        download: Whether torchvision may download files that are missing.
        class_names: One for each label.

    Raises:
        DataError: If files are missing, cannot be downloaded, or do not fit together.
    """
    place = Path(root).expanduser() if root is not None else Path.home() / ".cache" / "trainctl"
    if root is not None and not place.is_dir():
        raise DataError(f"dataset.root={root}: no such directory")
    raw = place / name / "raw"
    stems = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    missing = [stem for stem in stems if not (raw / stem).exists() and not (raw / f"{stem}.gz").exists()]
    if missing and not download:
        raise DataError(f"{raw}: {', '.join(missing)} missing; allow dataset.download=true, or give dataset.root=")
    if missing:
        _download(name, place)
    parts = []
    for images, labels in ((stems[0], stems[1]), (stems[2], stems[3])):
        inputs, targets = read_idx(raw / images), read_idx(raw / labels)
        if inputs.ndim != 3 or targets.ndim != 1 or len(inputs) != len(targets):
            raise DataError(
                f"{raw}: {images} has shape {tuple(inputs.shape)}, {labels} has {tuple(targets.shape)}: they do not belong together"
            )
        if len(targets) and int(targets.max()) >= len(class_names):
            row = int(targets.argmax())
            raise DataError(
                f"{raw / labels}: label {int(targets[row])} in row {row} is not in 0..{len(class_names) - 1}"
            )
        parts.append((inputs, targets))
    if parts[0][0].shape[1:] != parts[1][0].shape[1:]:
        raise DataError(f"{raw}: images for training and test have different sizes")
    return Dataset(
        inputs=torch.cat([parts[0][0], parts[1][0]])[:, None],
        targets=torch.cat([parts[0][1], parts[1][1]]).long(),
        task="classification",
        class_names=class_names,
        test_rows=len(parts[1][1]),
    )


def _download(name: str, place: Path) -> None:
    import torchvision  # here, because it costs a second that existing files need not pay

    try:
        for train in (True, False):
            getattr(torchvision.datasets, name)(place, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} could not be downloaded to {place}: {' '.join(str(error).split())}; where the files exist, give dataset.root="
        ) from error
