"""Prepare a data set: read it, clean it, split it, fit or reuse cleaning and scalings, move the rows to the device."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from trainctl.components.clean.base import Clean, missing_targets
from trainctl.components.dataset.base import Dataset
from trainctl.components.scale.base import Affine
from trainctl.data import by_block, inherit, labels
from trainctl.data.centre import narrowed
from trainctl.data.inherit import Start
from trainctl.data.resident import resident
from trainctl.data.rows import Data, Fitted, SplitName
from trainctl.data.schema import Schema, fingerprint
from trainctl.data.split import DividedDataset, all_rows, notes_on_splits, split_rows
from trainctl.errors import DataError
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.waiting import waiting
from trainctl.machine import memory
from trainctl.settings.config import Split
from trainctl.wording import agree, amount

IDENTITY = Affine(torch.ones(1, 1), torch.zeros(1, 1))


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
    scale: Callable[..., Affine],
    split: Split,
    device: torch.device,
    *,
    own: bool,
    fitted: Fitted | None = None,
    unlabeled: bool = False,
    start: Start | None = None,
    by_sample: str = "",
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
        unlabeled: Whether rows without a label are kept, because a teacher makes them useful.
        start: The run from whose weights this one starts: its cleaning and scalings are used where they apply.
        by_sample: The name of a scaling that needs all rows at once, so that those on disk are sampled; empty for others.

    Raises:
        ConfigError: If ``split.labels`` or ``split.omit`` does not match the data.
        DataError: If there are too few rows, or rows have values that are not allowed.
    """
    if dataset.stored is not None:  # what converting took
        memory.give_back()
    dataset, changes = by_block.select(clean, dataset, unlabeled=unlabeled)
    divided = learn(DividedDataset(dataset, _split(dataset, split), tuple(changes)))
    inferred: tuple[InferredLine, ...] = ()
    if fitted is None:
        schema, (fitted, fitting) = Schema.of(divided.dataset), fit(divided, clean, scale, split, by_sample)
        if start:
            fitted = inherit.inherited(schema, fitted, start)
            inferred = inherit.described(schema, fitted, start)
        divided = hide(reuse(divided, clean, fitted, split), split) if start else fitting
    else:
        divided = hide(reuse(divided, clean, fitted, split), split)
    with waiting("searching for equal rows"):
        notes = (*divided.dataset.notes, *notes_on_splits(divided.dataset, divided.rows, own=own, seed=split.seed))
    data = resident(divided, fitted, device, notes)
    if dataset.stored is not None:
        memory.give_back()
    return replace(data, inferred=(*data.inferred, *inferred))


def load_to_measure(
    dataset: Dataset,
    clean: Clean,
    fitted: Fitted,
    split: Split,
    device: torch.device,
    *,
    whole: bool,
    trained: str,
    unlabeled: bool = False,
) -> Data:
    """Prepare a data set to evaluate a finished run, with the cleaning and scalings that the run has fitted.

    Args:
        dataset: The data set as it was read.
        clean: Drops rows.
        fitted: The run's cleaning and scalings.
        split: How rows are assigned to splits.
        device: Device to move the rows to.
        whole: Whether to measure all rows as one split, ``all``; the other splits then have the same rows.
        trained: The fingerprint of the data that the run was trained with. Labels that were hidden from it stay hidden.
        unlabeled: Whether rows without a label are allowed; they are not measured.

    Raises:
        DataError: If there are too few rows, or rows have values that are not allowed.
    """
    divided = divide(dataset, clean, split, whole=whole, unlabeled=unlabeled)
    divided = reuse(divided, clean, fitted, split)
    before = len(divided.rows["train"])
    divided = _as_hidden(divided, clean, split, trained) if whole else hide(divided, split, strict=False)
    data = resident(divided, fitted, device)
    notes = () if data.schema.fingerprint == trained else divided.dataset.notes  # of its own data, training said them
    missing = int(missing_targets(dataset).sum()) + before - len(divided.rows["train"])
    if whole and missing:
        notes += (
            f"{amount(missing, 'row')} {agree(missing, 'has no label and is', 'have no label and are')} not measured",
        )
    return replace(data, notes=notes)


def _as_hidden(divided: DividedDataset, clean: Clean, split: Split, trained: str) -> DividedDataset:
    """Return all rows without those whose labels were hidden from a run, if they are the data that it was trained with."""
    if split.labels is None:
        return divided
    try:
        train = by_block.spare(clean, divided.dataset, _split(divided.dataset, split)["train"], split.seed)
    except DataError:  # other data, which cannot be split
        return divided
    dataset = labels.hide(divided.dataset, train, split, strict=False)
    return replace(divided, dataset=dataset, rows=all_rows(dataset)) if fingerprint(dataset) == trained else divided


def divide(
    dataset: Dataset, clean: Clean, split: Split, *, whole: bool = False, unlabeled: bool = False
) -> DividedDataset:
    """Drop rows, assign the others to splits, and encode them; values are not yet cleaned or scaled.

    Args:
        dataset: The data set as it was read.
        clean: Drops rows.
        split: How rows are assigned to splits.
        whole: Whether each split, and ``all``, has all rows.
        unlabeled: Whether rows without a label are kept.

    Raises:
        DataError: If there are too few rows, or rows have values that are not allowed.
    """
    dataset, changes = by_block.select(clean, dataset, unlabeled=unlabeled)
    rows = all_rows(dataset) if whole else _split(dataset, split)
    return learn(DividedDataset(dataset, rows, tuple(changes)))


def _split(dataset: Dataset, split: Split) -> dict[SplitName, Tensor]:
    """Return the row numbers of each split; training rows of the omitted classes are in none.

    Raises:
        DataError: If no training rows are left.
    """
    rows = split_rows(dataset, split)
    rows["train"] = labels.omit(dataset, rows["train"], split)
    if not len(rows["train"]):
        raise DataError(f"split.omit=[{','.join(map(str, split.omit))}] leaves no rows to train on")
    return rows


def hide(divided: DividedDataset, split: Split, *, strict: bool = True) -> DividedDataset:
    """Return the data set without the labels that ``split.labels`` hides, see :func:`trainctl.data.labels.hide`."""
    return replace(divided, dataset=labels.hide(divided.dataset, divided.rows["train"], split, strict=strict))


def learn(divided: DividedDataset) -> DividedDataset:
    """Encode the data set with a vocabulary from its training rows, if it needs one."""
    dataset = divided.dataset
    return replace(divided, dataset=dataset.learn(dataset, divided.rows["train"])) if dataset.learn else divided


def fit(
    divided: DividedDataset, clean: Clean, scale: Callable[..., Affine], split: Split, by_sample: str = ""
) -> tuple[Fitted, DividedDataset]:
    """Fit cleaning and scalings to the training rows, with and without a label; labels are hidden before.

    Returns:
        The cleaning and scalings, and the data set without the training rows that have outliers, and without hidden labels.
    """
    cleaner, train = by_block.fit(clean, divided.dataset, divided.rows["train"], split.seed)
    dataset = labels.hide(divided.dataset, train, split)
    known = train[~missing_targets(dataset)[train]]
    if not len(known):
        raise DataError(f"none of the {amount(len(train), 'training row')} has a label")
    fitted = Fitted(
        cleaner,
        IDENTITY if dataset.vocabulary else by_block.scaled(scale, dataset, cleaner, train, by_sample, split.seed),
        scale(dataset.targets[known]) if dataset.task == "regression" else None,
    )
    lines = by_block.sampled(clean, dataset, train, by_sample, split.seed)
    divided = replace(divided, dataset=dataset, changes=(*divided.changes, *lines))
    return fitted, _trimmed(divided, train, clean, fitted)


def reuse(divided: DividedDataset, clean: Clean, fitted: Fitted, split: Split) -> DividedDataset:
    """Return the data set without training rows that have outliers; if all rows are measured as one split, keep all."""
    train = divided.rows["train"]
    if "all" not in divided.rows:
        train = by_block.spare(clean, divided.dataset, train, split.seed)
    return _trimmed(divided, train, clean, fitted)


def _trimmed(divided: DividedDataset, train: Tensor, clean: Clean, fitted: Fitted) -> DividedDataset:
    """Return the data set with fewer training rows, and with the list of what cleaning changes."""
    changes = by_block.changes(clean, divided.dataset, fitted.cleaner, len(divided.rows["train"]) - len(train))
    return replace(divided, rows=divided.rows | {"train": train}, changes=(*divided.changes, *changes))
