"""A data set, split and cleaned: what a run trains on and is measured with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from trainctl.components.clean.base import Cleaner
from trainctl.components.dataset.base import Dataset
from trainctl.components.scale.base import Affine
from trainctl.data.schema import Schema
from trainctl.fileformat.inferred import InferredLine, classes_line, listed

SplitName = Literal["train", "val", "test", "all"]  # all: the rows of the others, where a run is only measured
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
MOST_EXAMPLES = 5000  # training rows that an initialisation may look at

Batch = tuple[Tensor, Tensor]  # inputs (N, *shape) as they are stored, and targets (N,) or (N, K), scaled


class Rows(Protocol):
    """The rows of one split, wherever they are kept; all that is returned is on the run's device."""

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, inputs and targets."""

    def gather(self, indices: Tensor) -> Batch:
        """Return the rows with these numbers ``(N,)``, in their order."""

    def portions(self, size: int) -> Iterator[Batch]:
        """Yield all rows in their order, ``size`` at a time; nobody may change them."""

    def sample(self, count: int) -> Batch:
        """Return at most ``count`` rows, evenly spaced; nobody may change them."""


@dataclass(frozen=True)
class ResidentRows:
    """Rows that are on the device as one tensor each.

    Args:
        inputs: ``(N, *shape)``, as they are stored: images as uint8.
        targets: Classes ``(N,)``, or scaled values ``(N, K)``.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, inputs and targets."""
        return self.inputs.nbytes + self.targets.nbytes

    def gather(self, indices: Tensor) -> Batch:
        """Return copies of the rows with these numbers."""
        return self.inputs.index_select(0, indices), self.targets.index_select(0, indices)

    def portions(self, size: int) -> Iterator[Batch]:
        """Yield views of neighbouring rows."""
        return zip(self.inputs.split(size), self.targets.split(size), strict=True)

    def sample(self, count: int) -> Batch:
        """Return a view of every k-th row."""
        every = -(-len(self) // count)
        return self.inputs[::every], self.targets[::every]


@dataclass(frozen=True)
class Fitted:
    """What was learned from the training rows: applied to all later ones, and saved with the run."""

    cleaner: Cleaner
    input_scale: Affine
    target_scale: Affine | None


@dataclass(frozen=True)
class Data:
    """A data set, split and cleaned, with its scalings.

    Args:
        splits: The rows of train, val and test.
        schema: Shape and names of the rows.
        input_scale: Fitted on the training split; applied to every batch, after augmentation.
        target_scale: For a regression; already applied to the targets.
        cleaner: Fitted on the training split; already applied to the inputs.
        changes: What cleaning changed, a line each.
        notes: What is odd about the rows, a line each.
        inferred: What was inferred from the data, a label and a text each: the block at the start of a run.
        other_task: The setting that makes it the other task, if the user may well mean that; empty otherwise.
        unlabelled: Whether there are no targets.
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
    unlabelled: bool = False

    @property
    def fitted(self) -> Fitted:
        """What was learned from the training rows."""
        return Fitted(self.cleaner, self.input_scale, self.target_scale)

    def examples(self) -> Tensor:
        """Return at most 5,000 training rows, evenly spaced, as the model sees them: scaled, not augmented."""
        return self.input_scale(self.splits["train"].sample(MOST_EXAMPLES)[0])


def block(dataset: Dataset) -> tuple[InferredLine, ...]:
    """Return what was inferred from a data set, a label and a text each: its task, and what it says itself.

    Data sets that are the same for everybody infer nothing, and need no block.
    """
    if not dataset.inferred and not dataset.task_reason:
        return ()
    named = f" of {listed(dataset.target_names)}" if dataset.target_names else ""
    if dataset.unlabelled:
        task = "none: there is no target, so only a model that reconstructs its input can be trained"
    elif dataset.task == "classification":
        task = f"classification{named}, {classes_line(dataset.class_names)}"
    else:
        task = f"regression{named}"
    reason = f"; {dataset.task_reason}" if dataset.task_reason else ""
    return (("task", f"{task}{reason}"), *dataset.inferred)
