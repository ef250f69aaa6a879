"""A data set on the device, split and cleaned: what a run trains on and is measured with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from trainctl.components.clean.base import Cleaner
from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.fileformat.table import Column

SplitName = Literal["train", "val", "test", "all"]  # all: the rows of the others, where a run is only measured
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Rows:
    """The rows of one split, resident on the device: inputs as they are stored, targets scaled."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


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
        input_scale: Fitted on the training split; applied to every batch, after augmentation.
        target_scale: For a regression; already applied to the targets.
        task: The data's; a model that reconstructs has its own.
        outputs: Numbers that a model has to return for a row.
        input_shape: Shape of a row: ``(C, H, W)``, ``(F,)``, ``(T, F)``, or ``(T,)`` for token ids.
        class_names: One for each class; empty for a regression.
        input_names: One for each column of a table or a sequence; empty for images.
        target_names: One for each column of a regression's targets.
        fingerprint: SHA-256 of all inputs, targets and names [hex].
        cleaner: Fitted on the training split; already applied to the inputs.
        changes: What cleaning changed, a line each.
        notes: What is odd about the rows, a line each.
        columns: The file's columns behind the columns of a table; empty if it comes from no file.
        vocabulary: The token behind each id; empty if inputs are no tokens.
        encoding: What else predicting needs to read such rows from a file; plain values.
    """

    splits: dict[SplitName, Rows]
    input_scale: Affine
    target_scale: Affine | None
    task: Task
    outputs: int
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    fingerprint: str
    cleaner: Cleaner = field(default_factory=Cleaner)
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    vocabulary: tuple[str, ...] = ()
    encoding: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fitted(self) -> Fitted:
        """What was learned from the training rows."""
        return Fitted(self.cleaner, self.input_scale, self.target_scale)

    def about(self) -> dict[str, Any]:
        """Return what predicting has to know, as plain values; saved with every checkpoint."""
        keys = (
            "task",
            "outputs",
            "input_shape",
            "class_names",
            "input_names",
            "target_names",
            "fingerprint",
            "vocabulary",
        )
        plain = {key: list(value) if isinstance(value := getattr(self, key), tuple) else value for key in keys}
        columns = [{"name": column.name, "categories": list(column.categories)} for column in self.columns]
        return plain | {"columns": columns, "encoding": dict(self.encoding)}
