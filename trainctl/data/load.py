"""Prepare a data set: read it, clean it, split it, fit or reuse cleaning and scalings, move the rows to the device."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainctl.components.clean.base import Clean
from trainctl.components.dataset.base import Dataset
from trainctl.components.scale.base import Affine
from trainctl.data import inherit
from trainctl.data.centre import narrowed
from trainctl.data.inherit import Start
from trainctl.data.rows import SPLITS, Data, Fitted, ResidentRows, Rows, SplitName, block
from trainctl.data.schema import Schema
from trainctl.data.split import all_rows, notes_on_splits, split_rows
from trainctl.errors import DataError
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.waiting import waiting
from trainctl.settings.config import Split

IDENTITY = Affine(torch.ones(1, 1), torch.zeros(1, 1))


@dataclass(frozen=True)
class Parts:
    """A data set whose rows were assigned to splits.

    Args:
        dataset: The data set, without the rows that cleaning has dropped.
        rows: The row numbers of each split; if ``all`` is among the splits, each split has all rows.
        changes: What cleaning changed, a line each.
    """

    dataset: Dataset
    rows: dict[SplitName, Tensor]
    changes: tuple[str, ...]


# Data sets that a sweep has read once for all trials, by their settings; empty in every other process.
SHARED: dict[str, Dataset] = {}


def read(
    build: Callable[[], Dataset],
    name: str,
    trained: Schema | None = None,
    key: str = "",
    start: Start | None = None,
) -> Dataset:
    """Read a data set, and convert its numbers to float32, around centres where that keeps their digits.

    Args:
        build: Reads and returns the data set.
        name: The data set's name, for a message.
        trained: The schema of a run that is continued or measured, whose centres are used; None for a new run.
        key: What it is called in :data:`SHARED`, if it is there.
        start: The run from whose weights a new run starts, whose vocabulary and centres are used where they apply.

    Raises:
        DataError: If it cannot be read, also for reasons that the reader does not handle, such as a path that is too long.
    """
    try:
        with waiting(f"reading {name}"):
            dataset = SHARED[key] if key in SHARED else build()
    except OSError as error:
        raise DataError(f"{error.filename or name}: cannot be read: {error.strerror or error}") from error
    if start is None:
        return narrowed(dataset, trained)
    return inherit.encoded(narrowed(dataset, trained or inherit.centres(dataset, start)), start)


def share(build: Callable[[], Dataset], key: str) -> None:
    """Read a data set for all trials of a sweep."""
    SHARED[key] = build()


def load(
    dataset: Dataset,
    clean: Clean,
    scale: Callable[[Tensor], Affine],
    split: Split,
    device: torch.device,
    *,
    own: bool,
    fitted: Fitted | None = None,
    start: Start | None = None,
) -> Data:
    """Prepare a data set for a new run: fill values, limits, vocabulary and scalings come from the training rows.

    Args:
        dataset: The data set as it was read.
        clean: Drops rows, fills in missing values and limits outliers.
        scale: Fits a scaling to rows.
        split: How rows are assigned to splits.
        device: Device to move the rows to.
        own: Whether the data are the user's own; only those are searched for equal rows, which takes time.
        fitted: The cleaning and scalings of another run, which are used instead; None to fit them.
        start: The run from whose weights this one starts: its cleaning and scalings are used where they apply.

    Raises:
        DataError: If there are too few rows, or rows have values that are not allowed.
    """
    dataset, changes = clean.select(dataset)
    parts = learn(Parts(dataset, split_rows(dataset, split), tuple(changes)))
    inferred: tuple[InferredLine, ...] = ()
    if fitted is None:
        schema, (fitted, fitting) = Schema.of(parts.dataset), fit(parts, clean, scale)
        if start:
            fitted = inherit.inherited(schema, fitted, start)
            inferred = inherit.described(schema, fitted, start)
        parts = reuse(parts, clean, fitted) if start else fitting
    else:
        parts = reuse(parts, clean, fitted)
    with waiting("searching for equal rows"):
        notes = (*parts.dataset.notes, *notes_on_splits(parts.dataset, parts.rows, own=own))
    data = resident(parts, fitted, device, notes)
    return replace(data, inferred=(*data.inferred, *inferred))


def load_to_measure(
    dataset: Dataset, clean: Clean, fitted: Fitted, split: Split, device: torch.device, *, whole: bool
) -> Data:
    """Prepare a data set to evaluate a finished run, with the cleaning and scalings that the run has fitted.

    Args:
        dataset: The data set as it was read.
        clean: Drops rows.
        fitted: The run's cleaning and scalings.
        split: How rows are assigned to splits.
        device: Device to move the rows to.
        whole: Whether to measure all rows as one split, ``all``; the other splits then have the same rows.

    Raises:
        DataError: If there are too few rows, or rows have values that are not allowed.
    """
    dataset, changes = clean.select(dataset)
    rows = all_rows(dataset) if whole else split_rows(dataset, split)
    parts = learn(Parts(dataset, rows, tuple(changes)))
    return resident(reuse(parts, clean, fitted), fitted, device, parts.dataset.notes)


def learn(parts: Parts) -> Parts:
    """Encode the data set with a vocabulary from its training rows, if it needs one."""
    dataset = parts.dataset
    return replace(parts, dataset=dataset.learn(dataset, parts.rows["train"])) if dataset.learn else parts


def fit(parts: Parts, clean: Clean, scale: Callable[[Tensor], Affine]) -> tuple[Fitted, Parts]:
    """Fit cleaning and scalings to the training rows; return them, and the parts without training rows that have outliers."""
    dataset = parts.dataset
    cleaner, train = clean.fit(dataset, parts.rows["train"])
    fitted = Fitted(
        cleaner,
        IDENTITY if dataset.vocabulary else scale(cleaner(dataset.inputs)[train]),
        scale(dataset.targets[train]) if dataset.task == "regression" else None,
    )
    return fitted, _trimmed(parts, train, clean, fitted)


def reuse(parts: Parts, clean: Clean, fitted: Fitted) -> Parts:
    """Return the parts without training rows that have outliers; if all rows are measured as one split, keep all."""
    whole = "all" in parts.rows
    train = parts.rows["train"] if whole else clean.spare(parts.dataset, parts.rows["train"])
    return _trimmed(parts, train, clean, fitted)


def _trimmed(parts: Parts, train: Tensor, clean: Clean, fitted: Fitted) -> Parts:
    """Return the parts with fewer training rows, and with the list of what cleaning changes."""
    changes = clean.changes(parts.dataset, fitted.cleaner, len(parts.rows["train"]) - len(train))
    return replace(parts, rows=parts.rows | {"train": train}, changes=(*parts.changes, *changes))


def resident(parts: Parts, fitted: Fitted, device: torch.device, notes: tuple[str, ...] = ()) -> Data:
    """Apply the fitted cleaning and scalings, and move the rows to the device.

    Raises:
        DataError: If values are missing and cleaning does not fill them in.
    """
    dataset = parts.dataset
    inputs = fitted.cleaner(dataset.inputs)
    if inputs.is_floating_point() and not inputs.isfinite().all():
        raise DataError("values are missing, but the run was trained without imputation; fill them in")
    targets = dataset.targets if fitted.target_scale is None else fitted.target_scale(dataset.targets)
    splits: dict[SplitName, Rows]
    if "all" in parts.rows:
        splits = dict.fromkeys(parts.rows, ResidentRows(inputs.to(device), targets.to(device)))
    else:
        splits = {
            name: ResidentRows(inputs[parts.rows[name]].to(device), targets[parts.rows[name]].to(device))
            for name in SPLITS
        }
    return Data(
        splits=splits,
        schema=Schema.of(dataset),
        input_scale=fitted.input_scale.to(device),
        target_scale=None if fitted.target_scale is None else fitted.target_scale.to(device),
        cleaner=fitted.cleaner,
        changes=parts.changes,
        notes=notes,
        inferred=block(dataset),
        other_task=dataset.other_task,
        unlabelled=dataset.unlabelled,
    )
