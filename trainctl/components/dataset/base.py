"""The types that data sets return, and functions that several of them use for scikit-learn's and torchvision's files."""

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from trainctl.errors import DataError, UnavailableError
from trainctl.fileformat.cifar import read_batch
from trainctl.fileformat.download import download as fetch
from trainctl.fileformat.gathered import columns_of
from trainctl.fileformat.idx import read_idx
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.packed import Packed, Source, existing
from trainctl.fileformat.room import Choice, Room, choose
from trainctl.fileformat.stored import Stored
from trainctl.fileformat.table import Column, unseen_note

Task = Literal["classification", "regression"]
PathText = Annotated[str, "path"]  # made absolute when a configuration is loaded
Delimiter = Literal["auto", "comma", "semicolon", "tab", "pipe", "space"]
Decimal = Literal["auto", "point", "comma"]
Thousands = Literal["auto", "none", "comma", "point", "space", "apostrophe"]
Dates = Literal["auto", "day_first", "month_first"]
Charset = Literal[
    "auto", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "cp1250", "cp1251", "cp437", "cp850",
    "mac-roman", "shift-jis", "euc-jp", "gb18030", "big5", "euc-kr",
]  # fmt: skip
Level = Literal["characters", "words"]
Normalize = Literal["nfc", "nfkc", "none", "legacy"]  # see trainctl.fileformat.tokens
SplitFolders = Literal["auto", "folders", "none"]  # see trainctl.fileformat.class_folders
Damaged = Literal["error", "skip"]  # see trainctl.fileformat.damage
Keep = Literal["auto", "memory", "disk"]  # see trainctl.fileformat.room
Size = Annotated[str, r"re:\d+(\.\d+)?[KMGT]B", "a size such as 500MB or 16GB"]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Settings for reading rows from a file, in addition to their shape and names; None if a data set has no such setting.

    Args:
        delimiter: Delimiter between the cells of a table.
        window: Number of consecutive rows of the file in one window.
        text: Column that contains the texts.
        level: Unit of a token.
        lowercase: Whether texts are converted to lowercase.
        normalize: How the characters of a text are composed; None for a run of the first version.
        whole_files: Whether each file is one text, rather than each line.
        pixel_range: The values that become 0 and 255 in images of more than 8 bits.
        keep: ``disk`` if the rows of the run stay on disk, on which their order depends.
    """

    delimiter: Delimiter | None = None
    window: int | None = None
    text: str | None = None
    level: Level | None = None
    lowercase: bool | None = None
    normalize: Normalize | None = None
    whole_files: bool | None = None
    pixel_range: tuple[float, float] | None = None
    keep: Literal["disk"] | None = None


class SchemaLike(Protocol):
    """The part of a finished run's schema that a data set reads; its rows must match it."""

    @property
    def task(self) -> Task:
        """Task of the run, which determines the kind of targets."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a row."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class; empty for regression."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Name of each column of a table or sequence; empty for images."""

    @property
    def input_centre(self) -> tuple[float, ...]:
        """Number that was subtracted from each column of the inputs; empty if none was."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The file's columns from which a table's columns were derived; empty if it was not read from a file."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Token of each id; empty if inputs are not tokens."""

    @property
    def encoding(self) -> Encoding:
        """Further settings for reading such rows from a file."""


@dataclass(frozen=True)
class Times:
    """When the first target of each window of a series is.

    Args:
        values: Of each row ``(N,)`` in float64: days since 0001-01-01, or the numbers of the column.
        column: The file's column that says it.
        dated: Whether they are days.
    """

    values: Tensor
    column: str
    dated: bool

    def take(self, rows: Tensor) -> "Times":
        """Return those of some of the rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True)
class Dataset:
    """A whole data set on the host, not yet cleaned, split or scaled.

    Args:
        inputs: Images ``(N, C, H, W)`` as uint8, tables ``(N, F)`` or sequences ``(N, T, F)`` as float64 or float32, with
            NaN for missing values; token ids ``(N, T)`` as int64, 0 after the end. float64 becomes float32 once the
            data set is read, see ``trainctl/data/centre.py``.
        targets: Classes ``(N,)`` as int64, or values ``(N, K)`` as float64 or float32; -1 or NaN if missing.
        task: Kind of targets.
        class_names: Name of each class; empty for regression.
        input_names: Name of each column of a table or sequence; empty for images.
        target_names: Name of each column of the targets; empty for classes whose column has no name.
        test_rows: Number of rows at the end that are the source's own test split; 0 if it has none.
        val_rows: Number of rows before those that are the source's own validation split; 0 if it has none.
        ordered: Whether rows are in chronological order; if so, they are split chronologically.
        gap_rows: Rows omitted between chronological splits, because their targets are in the next split.
        columns: The file's columns from which a table's columns were derived; empty if it was not read from a file.
        vocabulary: Token of each id; empty if inputs are not tokens.
        encoding: Further settings for reading such rows from a file.
        source: The file, for messages.
        lines: First line of each row in the file ``(N,)``, or lines of each window and of its targets ``(N, W + H)``;
            None if it was not read from a file.
        times: When the first target of each window of a series is; None if no column says it, or there are several series.
        learn: A function of the data set and its training rows; returns the data set with an encoding determined from
            those rows alone. None if the encoding does not depend on rows.
        notes: Messages for the user, a line each.
        input_centre: Number that was subtracted from each column of the inputs; empty if none was.
        target_centre: Number that was subtracted from each column of the targets; empty if none was.
        inferred: What was inferred from the files, a label and a text each: see :mod:`trainctl.fileformat.inferred`.
        task_reason: Why the task is what it is, and the key that changes it; empty if there is nothing to choose.
        other_task: The setting that makes it the other task, if the user may well mean that; empty otherwise.
        unlabelled: Whether there are no targets: only a model that reconstructs its input can learn from the rows.
        stored: The inputs, if they stay on disk; ``inputs`` then has their shape and type, and no memory: it is on the device
            ``meta``, where whatever reads a value fails.
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
    encoding: Encoding = Encoding()
    source: str = ""
    lines: Tensor | None = None
    times: Times | None = None
    learn: Callable[["Dataset", Tensor], "Dataset"] | None = None
    notes: tuple[str, ...] = ()
    input_centre: tuple[float, ...] = ()
    target_centre: tuple[float, ...] = ()
    inferred: tuple[InferredLine, ...] = ()
    task_reason: str = ""
    other_task: str = ""
    unlabelled: bool = False
    stored: Stored | None = None

    @property
    def outputs(self) -> int:
        """Number of outputs of a model for a row."""
        return len(self.class_names) if self.task == "classification" else self.targets.shape[1]

    def take(self, rows: Tensor) -> Self:
        """Return a data set of some of the rows, given in increasing order."""
        size, own = len(self.inputs), self.test_rows + self.val_rows
        test = int((rows >= size - self.test_rows).sum())
        return replace(
            self,
            inputs=self.inputs[rows]
            if self.stored is None
            else self.inputs.new_empty((len(rows), *self.inputs.shape[1:])),
            stored=None if self.stored is None else self.stored.take(rows.numpy()),
            targets=self.targets[rows],
            test_rows=test,
            val_rows=int((rows >= size - own).sum()) - test,
            lines=None if self.lines is None else self.lines[rows],
            times=None if self.times is None else self.times.take(rows),
        )

    def rows(self, numbers: Tensor) -> Tensor:
        """Return the inputs of some of the rows, given in ascending order, in memory."""
        return self.inputs[numbers] if self.stored is None else torch.from_numpy(self.stored.read(numbers.numpy()))

    def locate(self, row: int, step: int = 0) -> str:
        """Return the location of a row or of a step of a window, for a message."""
        if self.lines is None:
            return f"row {row}"
        line = self.lines[row] if self.window_lines is None else self.window_lines[row, step]
        return f"row {row} ({self.source}, line {int(line)})"

    @property
    def window_lines(self) -> Tensor | None:
        """Lines of each window and of its targets; None if rows are not windows of a file."""
        return self.lines if self.lines is not None and self.lines.ndim == 2 else None


def shape_of(stored: Stored) -> Tensor:
    """Return a tensor with the shape and the type of inputs that stay on disk, and without memory."""
    dtype = torch.uint8 if stored.images else torch.float64 if stored.wide else torch.float32
    return torch.empty((len(stored), *stored.shape), dtype=dtype, device="meta")


def schema_json(schema: SchemaLike | None) -> object:
    """Return what of a finished run's schema changes how a file is converted, plain values."""
    if schema is None:
        return None
    return [schema.task, schema.class_names, schema.input_names, repr(schema.columns), bool(schema.input_centre)]


def kept(found: Packed, keep: Keep, memory: str | None, room: Room | None) -> Dataset:
    """Return the data set of a table that was converted, in memory or on disk as the settings say."""
    images = found.inputs.dtype == np.uint8
    need = found.inputs.nbytes if images else found.inputs.nbytes // found.inputs.dtype.itemsize * 4
    choice = choose(keep, memory, need, room, len(found.inputs))
    dataset = table_on_disk(found, choice.lines)
    return dataset if choice.disk else in_memory(dataset)


def images_on_disk(
    found: Packed,
    targets: np.ndarray,
    names: tuple[str, ...],
    choice: Choice,
    *,
    lines: Sequence[InferredLine],
    notes: Sequence[str],
    encoding: Encoding,
    val_rows: int = 0,
    test_rows: int = 0,
) -> Dataset:
    """Return the data set of images that were decoded, in memory or on disk as the settings say.

    Args:
        found: Their pixels.
        targets: Their classes ``(N,)``.
        names: The name of each class.
        choice: Where they are.
        lines: What was found, for the block at the start.
        notes: What may surprise, a line each.
        encoding: Further settings for reading such images.
        val_rows: Number of images of the source's own validation split.
        test_rows: Number of images of the source's own test split.
    """
    stored = Stored(found.inputs, root=found.root, finite=True)
    directory = found.inputs.path.parent
    mixed = (
        (f"images are sorted by class, so they were shuffled once, in {directory}",) if found.facts["shuffled"] else ()
    )
    dataset = Dataset(
        inputs=shape_of(stored),
        stored=stored,
        targets=torch.from_numpy(targets),
        task="classification",
        class_names=names,
        val_rows=val_rows,
        test_rows=test_rows,
        encoding=replace(encoding, keep="disk"),
        notes=(*found.notes, *notes, *found.facts["notes"], *(mixed if choice.disk else ())),
        inferred=(*lines, *choice.lines),
    )
    return dataset if choice.disk else in_memory(dataset)


def in_memory(dataset: Dataset) -> Dataset:
    """Return a data set with its inputs read into memory, as the file has them."""
    stored = dataset.stored
    assert stored is not None
    inputs = torch.from_numpy(stored.exact(np.arange(len(stored))))
    return replace(dataset, inputs=inputs, stored=None, encoding=replace(dataset.encoding, keep=None))


def of_same_columns(source: Source, schema: SchemaLike) -> Packed | None:
    """Return a table that was converted for training, if its columns and classes are those of a finished run."""
    found = existing(source)
    if found is None or columns_of(found) != schema.columns or tuple(found.facts["classes"]) != schema.class_names:
        return None
    return found


def table_on_disk(found: Packed, lines: Sequence[InferredLine]) -> Dataset:
    """Return the data set of a table that was converted.

    Args:
        found: Its rows; the facts are those of :class:`~trainctl.fileformat.gathered.Gathered` and of the data set.
        lines: What else to say in the block at the start.
    """
    facts, columns = found.facts, columns_of(found)
    stored = Stored(found.inputs, root=found.root, finite=facts["finite"])
    unseen = {name: Counter(texts) for name, texts in facts["unseen"].items()}
    mixed = (
        f"{facts['source']}: its rows are sorted by class, so they were shuffled once, in {found.inputs.path.parent}",
    )
    return Dataset(
        inputs=shape_of(stored),
        stored=stored,
        targets=torch.from_numpy(found.targets),
        task=facts["task"],
        class_names=tuple(facts["classes"]),
        input_names=tuple(name for column in columns for name in column.names),
        target_names=tuple(facts["targets"]),
        columns=columns,
        encoding=Encoding(delimiter=facts["delimiter"], keep="disk"),
        source=facts["source"],
        notes=(*found.notes, *facts["notes"], *unseen_note(unseen), *(mixed if facts["shuffled"] else ())),
        inferred=(*((label, text) for label, text in facts["lines"]), *lines),
        task_reason=facts["reason"],
        other_task=facts["other"],
        unlabelled=not facts["targets"],
    )


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


def cache_directory(key: str) -> Path:
    """Return the default directory of downloaded data, which ``dataset.<key>`` overrides.

    Raises:
        UnavailableError: If there is no home directory.
    """
    try:
        return Path.home() / ".cache" / "trainctl"
    except RuntimeError as error:
        raise UnavailableError(f"there is no home directory: set HOME or dataset.{key}") from error


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
