"""The rows of a data set after cleaning and splitting, on which a run trains and is measured."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from trainctl.components.clean.base import Cleaner
from trainctl.components.dataset.base import Dataset, Times
from trainctl.components.scale.base import Affine
from trainctl.data import stored_rows
from trainctl.data.labels import Kept
from trainctl.data.schema import Schema
from trainctl.data.stored_rows import StoredRows
from trainctl.fileformat.inferred import InferredLine, classes_line
from trainctl.wording import listed

SplitName = Literal["train", "val", "test", "all"]  # all: every row, to measure a finished run
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
MOST_EXAMPLES = 5000  # most training rows for a data-dependent initialisation

Batch = tuple[Tensor, Tensor]  # inputs (N, *shape) as stored, and scaled targets (N,) or (N, K)


class Rows(Protocol):
    """The rows of one split, wherever they are stored; all methods return tensors on the run's device."""

    def __len__(self) -> int: ...

    @property
    def resident(self) -> bool:
        """Whether the rows are in memory, so that any of them cost the same."""

    @property
    def targets(self) -> Tensor:
        """Classes ``(N,)``, or scaled values ``(N, K)``, which are always in memory."""

    @property
    def nbytes(self) -> int:
        """Size of all inputs and targets [bytes]."""

    def gather(self, indices: Tensor) -> Batch:
        """Return the rows with these numbers ``(N,)``, in the order of the numbers."""

    def portions(self, size: int) -> Iterator[Batch]:
        """Yield all rows in their order, ``size`` at a time; callers must not modify them."""

    def sample(self, count: int) -> Batch:
        """Return at most ``count`` rows, evenly spaced; callers must not modify them."""


@dataclass(frozen=True)
class ResidentRows:
    """Rows stored on the device, as one tensor of inputs and one of targets.

    Args:
        inputs: ``(N, *shape)``, as stored; images are uint8.
        targets: Classes ``(N,)``, or scaled values ``(N, K)``.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def resident(self) -> bool:
        """Whether the rows are in memory."""
        return True

    @property
    def nbytes(self) -> int:
        """Size of all inputs and targets [bytes]."""
        return self.inputs.nbytes + self.targets.nbytes

    def gather(self, indices: Tensor) -> Batch:
        """Return copies of the rows with these numbers."""
        return self.inputs.index_select(0, indices), self.targets.index_select(0, indices)

    def portions(self, size: int) -> Iterator[Batch]:
        """Yield views of consecutive rows."""
        return zip(self.inputs.split(size), self.targets.split(size), strict=True)

    def sample(self, count: int) -> Batch:
        """Return a view of every k-th row."""
        every = -(-len(self) // count)
        return self.inputs[::every], self.targets[::every]


@dataclass(frozen=True)
class Fitted:
    """Cleaning and scalings fitted to the training rows; they apply to all other rows, and are saved with the run."""

    cleaner: Cleaner
    input_scale: Affine
    target_scale: Affine | None


@dataclass(frozen=True)
class Data:
    """A data set after cleaning and splitting, with its scalings.

    Args:
        splits: The rows of train, val and test.
        schema: Shape and names of the rows.
        input_scale: Fitted on the training split; applied to every batch, after augmentation.
        target_scale: Fitted on the training split of a regression, else None; already applied to the targets.
        cleaner: Fitted on the training split; already applied to the inputs.
        changes: What cleaning changed, a line each.
        notes: Warnings about the rows, a line each.
        inferred: What was inferred from the data, a label and a text each: the block at the start of a run.
        other_task: The setting that makes it the other task, if the user may well mean that; empty otherwise.
        no_targets: Whether there are no targets.
        lines: The line of each row of a split in the file ``(N,)``, of a window its last; empty if there is no such file.
        files: The file of each row of a split, below the directory of the data set; empty if rows are not files.
        times: When the first target of each window of a split is; empty if rows are no windows of one dated series.
        without_label: The training rows without a label, which a teacher makes useful; None if there are none. The train
            split has the others.
        kept: Which training rows have a label; None if all have one.
    """

    splits: dict[SplitName, Rows]
    schema: Schema
    input_scale: Affine
    target_scale: Affine | None
    cleaner: Cleaner = field(default_factory=Cleaner)
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    inferred: tuple[InferredLine, ...] = ()
    other_task: str = ""
    no_targets: bool = False
    lines: dict[SplitName, Tensor] = field(default_factory=dict)
    files: dict[SplitName, tuple[str, ...]] = field(default_factory=dict)
    times: dict[SplitName, Times] = field(default_factory=dict)
    without_label: Rows | None = None
    kept: Kept | None = None

    def for_task(self, *, reconstructs: bool, taught: bool) -> "Data":
        """Return the data as a model learns from them.

        Rows without a label are training rows like all others for a model that reconstructs its input. For others they
        are only useful if there is a teacher.
        """
        if self.without_label is None or (taught and not reconstructs):
            return self
        if not reconstructs:
            return replace(self, without_label=None)
        train: Rows = joined(self.splits["train"], self.without_label)
        return replace(self, splits=self.splits | {"train": train}, without_label=None, kept=None)

    @property
    def fitted(self) -> Fitted:
        """Cleaning and scalings fitted to the training rows."""
        return Fitted(self.cleaner, self.input_scale, self.target_scale)

    def examples(self) -> Tensor:
        """Return at most 5,000 training rows, evenly spaced, as the model sees them: scaled, not augmented."""
        return self.input_scale(self.splits["train"].sample(MOST_EXAMPLES)[0])


def joined(*parts: Rows) -> Rows:
    """Return the rows of several splits as one; those on disk in the order of the file."""
    if stored := [rows for rows in parts if isinstance(rows, StoredRows)]:
        assert len(stored) == len(parts)
        return stored_rows.joined(stored)
    batches = [batch for rows in parts for batch in rows.portions(len(rows))]
    return ResidentRows(torch.cat([inputs for inputs, _ in batches]), torch.cat([targets for _, targets in batches]))


def block(dataset: Dataset) -> tuple[InferredLine, ...]:
    """Return what was inferred from a data set, a label and a text each: its task, and what it says itself.

    Data sets that are the same for everybody infer nothing, and need no block.
    """
    if not dataset.inferred and not dataset.task_reason:
        return ()
    named = f" of {listed(dataset.target_names)}" if dataset.target_names else ""
    if dataset.no_targets:
        task = "none: there is no target, so only a model that reconstructs its input can be trained"
    elif dataset.task == "classification":
        task = f"classification{named}, {classes_line(dataset.class_names)}"
    else:
        task = f"regression{named}"
    reason = f"; {dataset.task_reason}" if dataset.task_reason else ""
    return (("task", f"{task}{reason}"), *dataset.inferred)
