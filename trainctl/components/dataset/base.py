"""The types that data sets return, and functions that several of them use for scikit-learn's and torchvision's files."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

import torch
from torch import Tensor

from trainctl.errors import UnavailableError
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.stored import Stored
from trainctl.fileformat.table import Column

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
        files: The file of each row, below the directory of the data set; empty if rows are not files.
        times: When the first target of each window of a series is; None if no column says it, or there are several series.
        learn: A function of the data set and its training rows; returns the data set with an encoding determined from
            those rows alone. None if the encoding does not depend on rows.
        notes: Messages for the user, a line each.
        input_centre: Number that was subtracted from each column of the inputs; empty if none was.
        target_centre: Number that was subtracted from each column of the targets; empty if none was.
        inferred: What was inferred from the files, a label and a text each: see :mod:`trainctl.fileformat.inferred`.
        task_reason: Why the task is what it is, and the key that changes it; empty if there is nothing to choose.
        other_task: The setting that makes it the other task, if the user may well mean that; empty otherwise.
        no_targets: Whether there are no targets: only a model that reconstructs its input can learn from the rows.
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
    files: tuple[str, ...] = ()
    times: Times | None = None
    learn: Callable[["Dataset", Tensor], "Dataset"] | None = None
    notes: tuple[str, ...] = ()
    input_centre: tuple[float, ...] = ()
    target_centre: tuple[float, ...] = ()
    inferred: tuple[InferredLine, ...] = ()
    task_reason: str = ""
    other_task: str = ""
    no_targets: bool = False
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
            files=tuple(self.files[row] for row in rows.tolist()) if self.files else (),
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


def cache_directory(key: str) -> Path:
    """Return the default directory of downloaded data, which ``dataset.<key>`` overrides.

    Raises:
        UnavailableError: If there is no home directory.
    """
    try:
        return Path.home() / ".cache" / "trainctl"
    except RuntimeError as error:
        raise UnavailableError(f"there is no home directory: set HOME or dataset.{key}") from error
