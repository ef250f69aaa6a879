"""What every data set returns, and the file formats that several of them share."""

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from trainctl.errors import ConfigError, DataError, UnavailableError
from trainctl.fileformat.archive import extract
from trainctl.fileformat.boundary import reading, reason
from trainctl.fileformat.cifar import read_batch
from trainctl.fileformat.idx import read_idx
from trainctl.fileformat.table import NUMBER, Column, Table, is_missing, numbers, short

Task = Literal["classification", "regression"]
PathText = Annotated[str, "path"]  # made absolute when a configuration is loaded
Delimiter = Literal["comma", "semicolon", "tab", "pipe"]
NO_CLASS = -1  # the target of a row whose class is missing
MOST_CLASSES = 20  # whole numbers in a target, more of which are amounts


@dataclass(frozen=True)
class Dataset:
    """A whole data set on the host, not yet cleaned, split or scaled.

    Args:
        inputs: Images ``(N, C, H, W)`` as uint8, tables ``(N, F)`` or sequences ``(N, T, F)`` as float32, with NaN
            where a value is missing; token ids ``(N, T)`` as int64, 0 after the end.
        targets: Classes ``(N,)`` as int64, or values ``(N, K)`` as float32; ``NO_CLASS`` or NaN where one is missing.
        task: What the targets are.
        class_names: One for each class; empty for a regression.
        input_names: One for each column of a table or a sequence; empty for images.
        target_names: One for each column of the targets; empty for classes whose column has no name.
        test_rows: How many rows at the end are the source's own test split; 0 if it has none.
        val_rows: How many rows before those are the source's own validation split; 0 if it has none.
        ordered: Whether rows follow each other in time, and so do the splits.
        gap_rows: Rows left out between splits in time: those whose targets reach into the next split.
        columns: The file's columns behind the columns of a table; empty if it comes from no file.
        vocabulary: The token behind each id; empty if inputs are no tokens.
        encoding: What else predicting needs to read such rows from a file; plain values.
        source: The file, for messages.
        lines: Line of the file at which each row starts ``(N,)``, or lines of a window and what follows it
            ``(N, W + H)``; None if it comes from no file.
        learn: Given the data set and its training rows, returns the data set as those rows alone tell to encode it.
        notes: What is to be told to the user, a line each.
    """

    inputs: Tensor
    targets: Tensor
    task: Task
    class_names: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    test_rows: int = 0
    val_rows: int = 0
    ordered: bool = False
    gap_rows: int = 0
    columns: tuple[Column, ...] = ()
    vocabulary: tuple[str, ...] = ()
    encoding: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    lines: Tensor | None = None
    learn: Callable[["Dataset", Tensor], "Dataset"] | None = None
    notes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers a model has to return for a row."""
        return len(self.class_names) if self.task == "classification" else self.targets.shape[1]

    def take(self, rows: Tensor) -> Self:
        """Return the same data set with some of its rows, in rising order."""
        size, own = len(self.inputs), self.test_rows + self.val_rows
        test = int((rows >= size - self.test_rows).sum())
        return replace(
            self,
            inputs=self.inputs[rows],
            targets=self.targets[rows],
            test_rows=test,
            val_rows=int((rows >= size - own).sum()) - test,
            lines=None if self.lines is None else self.lines[rows],
        )

    def place(self, row: int, step: int = 0) -> str:
        """Say where a row is, or a step of a window."""
        if self.lines is None:
            return f"row {row}"
        line = self.lines[row] if self.window_lines is None else self.window_lines[row, step]
        return f"row {row} ({self.source}, line {int(line)})"

    @property
    def window_lines(self) -> Tensor | None:
        """Lines of the steps of windows and of what follows them; None if rows are no windows of a file."""
        return self.lines if self.lines is not None and self.lines.ndim == 2 else None


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
    place = own_place("root") if root is None else Path(os.path.expanduser(root))  # noqa: PTH111 - pathlib's raises
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
        inputs, targets = (torch.from_numpy(read_idx(raw / name)) for name in (images, labels))
        if inputs.ndim != 3 or targets.ndim != 1 or len(inputs) != len(targets):
            raise DataError(
                f"{raw}: {images} has shape {tuple(inputs.shape)}, {labels} has {tuple(targets.shape)}: they do not belong together"
            )
        if 0 in inputs.shape[1:]:
            raise DataError(f"{raw / images}: its images have no pixels ({tuple(inputs.shape[1:])})")
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
    from torchvision.datasets.utils import download_url

    source = getattr(torchvision.datasets, name)
    with reading(
        name,
        explain=lambda error: (
            f"{name} could not be downloaded to {place}: {reason(error)}; where the files exist, give dataset.root="
        ),
    ):
        if hasattr(source, "tgz_md5"):
            download_url(source.url, place, source.filename, source.tgz_md5)
            extract(
                place / source.filename,
                place,
                [f"{source.base_folder}/{part}" for part, _ in source.train_list + source.test_list],
            )
        for filename, digest in getattr(source, "resources", ()):
            _from_mirrors(source.mirrors, place / name / "raw", filename, digest)


def _from_mirrors(mirrors: Sequence[str], folder: Path, filename: str, digest: str) -> None:
    """Download a file from the first mirror that gives it with the right MD5; it stays packed."""
    from torchvision.datasets.utils import download_url

    for mirror in mirrors:
        try:
            download_url(f"{mirror}{filename}", folder, filename, digest)
            return
        except Exception:  # whatever the network or torchvision raises
            if mirror == mirrors[-1]:
                raise


def own_place(key: str) -> Path:
    """Return where our own files go unless a setting says otherwise.

    Raises:
        UnavailableError: If there is no home directory.
    """
    try:
        return Path.home() / ".cache" / "trainctl"
    except RuntimeError as error:
        raise UnavailableError(f"there is no home directory: set HOME, or give dataset.{key}=") from error


def required(key: str, value: str | None, example: str) -> str:
    """Return a setting that has no default.

    Raises:
        ConfigError: If it is null.
    """
    if value is None:
        raise ConfigError(f"dataset.{key}=null: give dataset.{key}={example}")
    return value


def known_columns(known: Mapping[str, Any] | None) -> tuple[Column, ...]:
    """Return the columns that a finished run reads, by their names; empty for a new run, or one without names."""
    if not known:
        return ()
    columns = [Column(one["name"], tuple(one["categories"])) for one in known.get("columns", ())]
    return tuple(columns or map(Column, known["input_names"]))


def read_target(
    table: Table, name: str, task: str, known: Mapping[str, Any] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Return a column as targets, and the names of its classes; empty for a regression.

    Args:
        table: The file.
        name: The column.
        task: ``auto``, ``classification`` or ``regression``.
        known: What a finished run knows, its classes among it.

    Raises:
        DataError: By line and column.
    """
    cells = table.cells(name)
    present = [cell for cell in cells if not is_missing(cell)]
    if not present:
        raise DataError(f"{table.path}, column {name}: holds no value in {len(cells)} rows")
    if known:
        task = known["task"]
    elif task == "auto":
        numeric = [NUMBER.fullmatch(cell) is not None for cell in present]
        if not all(numeric) and 2 * sum(numeric) > len(numeric) and len(set(present)) > MOST_CLASSES:
            task = "regression"  # and the cell that is no number is named
        else:
            task = "classification" if _are_classes(present, all(numeric)) else "regression"
    if task == "regression":
        return torch.from_numpy(numbers(table, name)).float()[:, None], ()
    names = tuple(known["class_names"]) if known else classes(present)
    if len(names) < 2:
        raise DataError(f"{table.path}, column {name}: has one class only, {short(names[0])}")
    places = {label: place for place, label in enumerate(names)}
    targets = []
    for row, cell in enumerate(cells):
        if cell not in places and not is_missing(cell):
            raise table.error(row, name, f"{short(cell)} is none of the run's classes ({', '.join(names[:20])})")
        targets.append(places.get(cell, NO_CLASS))
    return torch.tensor(targets), names


def _are_classes(present: list[str], numeric: bool) -> bool:
    """Say whether a target's cells name classes rather than amounts."""
    if not numeric:
        return True
    different = {float(cell) for cell in present}
    few = len(different) <= MOST_CLASSES and 2 * len(different) <= len(present)
    return few and all(value.is_integer() for value in different)


def classes(present: list[str]) -> tuple[str, ...]:
    """Return the different cells, sorted, as numbers where all are numbers.

    >>> classes(["10", "9", "9"]), classes(["b", "a", "9"])
    (('9', '10'), ('9', 'a', 'b'))
    """
    different = sorted(set(present))
    return tuple(sorted(different, key=float) if all(map(NUMBER.fullmatch, different)) else different)


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
    """Read one of the CIFAR sets, laid out as torchvision does: ``<root>/<folder>/<batch>``.

    Args:
        name: torchvision's class.
        folder: Name of its directory.
        batches: Its files, the one for test last.
        labels: Key of the labels.
        root: Directory of existing files; null: ``~/.cache/trainctl``, made if need be.
        download: Whether torchvision may download files that are missing.
        class_names: One for each label.

    Raises:
        DataError: If files are missing, damaged, or cannot be downloaded.
    """
    place = own_place("root") if root is None else Path(os.path.expanduser(root))  # noqa: PTH111 - pathlib's raises
    if root is not None and not place.is_dir():
        raise DataError(f"dataset.root={root}: no such directory")
    missing = [batch for batch in batches if not (place / folder / batch).exists()]
    if missing and not download:
        raise DataError(
            f"{place / folder}: {', '.join(missing)} missing; allow dataset.download=true, or give dataset.root="
        )
    if missing:
        _download(name, place)
    parts = []
    for batch in batches:
        images, targets = read_batch(place / folder / batch, labels)
        if len(bad := ((targets < 0) | (targets >= len(class_names))).nonzero()[0]):
            raise DataError(
                f"{place / folder / batch}: label {targets[bad[0]]} in row {bad[0]} is not in 0..{len(class_names) - 1}"
            )
        parts.append((images, targets))
    return Dataset(
        inputs=torch.from_numpy(np.concatenate([images for images, _ in parts])),
        targets=torch.from_numpy(np.concatenate([targets for _, targets in parts])),
        task="classification",
        class_names=class_names,
        test_rows=len(parts[-1][1]),
    )
