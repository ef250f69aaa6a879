"""Split the rows of a data set into training, validation and test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainctl.components.clean.base import missing_targets
from trainctl.components.dataset.base import Dataset
from trainctl.data import by_block
from trainctl.data.rows import SPLITS, SplitName
from trainctl.errors import DataError
from trainctl.fileformat.target import NO_CLASS
from trainctl.machine.device import derive
from trainctl.settings.config import Split
from trainctl.wording import agree, amount

# A note is shown above this ratio of the most frequent to the rarest class, and above this share of the most frequent one.
IMBALANCE, MAJORITY = 50, 0.9


@dataclass(frozen=True)
class DividedDataset:
    """A data set whose rows were assigned to splits; they are not yet cleaned or scaled.

    Args:
        dataset: The data set, without the rows that cleaning has dropped.
        rows: The row numbers of each split; if ``all`` is among the splits, each split has all rows.
        changes: What cleaning changed, a line each.
    """

    dataset: Dataset
    rows: dict[SplitName, Tensor]
    changes: tuple[str, ...]


def split_rows(dataset: Dataset, split: Split) -> dict[SplitName, Tensor]:
    """Return the sorted row numbers of each split; classes are stratified.

    If the data set has its own test or validation rows, they are that split, and fractions refer to the remaining rows.
    Rows without a target are training rows; those of the data set's own test or validation rows are in no split.
    Fractions refer to rows with a target. Rows that are ordered in time are split in time: training, validation, test.
    Other rows are shuffled, sorted by class, and picked at even distances, so that a split gets exactly its share of all
    rows, and its share of each class to within two rows.

    Raises:
        DataError: If a split would be empty.
    """
    rows = len(dataset.inputs)
    if dataset.ordered:
        train, val, test = _in_time(rows, dataset.gap_rows, split)
    else:
        train, val, test = _at_random(dataset, split)
    missing = missing_targets(dataset)
    val, test = val[~missing[val]], test[~missing[test]]
    if not len(val) or not len(train):
        raise DataError(
            f"{amount(rows, 'row')} {agree(rows, 'is', 'are')} too few: {len(train)}"
            f" for training, {len(val)} for validation, {len(test)} for test"
        )
    return {"train": train.sort().values, "val": val.sort().values, "test": test.sort().values}


def all_rows(dataset: Dataset) -> dict[SplitName, Tensor]:
    """Assign all rows with a target to each of the splits, and to ``all``.

    Raises:
        DataError: If there are no rows.
    """
    rows = (~missing_targets(dataset)).nonzero()[:, 0]
    if not len(rows):
        raise DataError(f"{dataset.source or 'the data'}: has no rows left to measure")
    return dict.fromkeys((*SPLITS, "all"), rows)


def notes_on_splits(dataset: Dataset, splits: Mapping[SplitName, Tensor], *, own: bool, seed: int = 0) -> list[str]:
    """Return notes on the splits, a line each: on classes with few rows, and on equal rows in several splits.

    Args:
        dataset: The data set.
        splits: The rows of each split.
        own: Whether the data are the user's own; only those are searched for equal rows, which takes time.
        seed: Of the sample that is searched, if the rows stay on disk.
    """
    notes = []
    if dataset.task == "classification":
        targets = dataset.targets[splits["train"]]
        counts = torch.bincount(targets[targets != NO_CLASS], minlength=dataset.outputs)
        least, most, total = int(counts.argmin()), int(counts.argmax()), int(counts.sum())
        rare, frequent = (f"{dataset.class_names[index]} {int(counts[index]):,}" for index in (least, most))
        if absent := int((counts == 0).sum()):
            name = dataset.class_names[least]
            notes.append(
                f"class {name} has 0 of {total} training rows; {absent} of"
                f" {amount(len(counts), 'class')} {agree(absent, 'has', 'have')} none"
            )
        elif int(counts[most]) > min(IMBALANCE * int(counts[least]), MAJORITY * total):
            notes.append(
                f"classes are imbalanced ({rare}, {frequent} of {total:,} training rows): accuracy is misleading;"
                " metric=[balanced_accuracy] shows more, loss.class_weights=balanced may help"
            )
    if dataset.task == "regression":
        single = [name for name in SPLITS if len(splits[name]) == 1]
        notes += [f"{name} has only one row: R2 needs two, so {name}/r2 is undefined" for name in single]
    if own and not dataset.ordered:  # windows of a periodic series are often equal
        notes += _in_several_splits(dataset, splits, seed)
    return notes


def _in_several_splits(dataset: Dataset, splits: Mapping[SplitName, Tensor], seed: int) -> Iterator[str]:
    if dataset.stored is not None:
        yield from _in_several_samples(dataset, splits, seed)
        return
    trained = set(_hashes(dataset, splits["train"]))
    measured: tuple[SplitName, ...] = ("val", "test")
    for name in measured:
        if count := sum(key in trained for key in _hashes(dataset, splits[name])):
            yield (
                f"{count:,} of {amount(len(splits[name]), f'{name} row')}"
                f" {agree(count, 'equals', 'equal')} training rows, so their metrics are too optimistic;"
                " clean.duplicates=drop keeps one of equal rows"
            )


def _in_several_samples(dataset: Dataset, splits: Mapping[SplitName, Tensor], seed: int) -> Iterator[str]:
    """Yield what :func:`_in_several_splits` does, for rows on disk: by a sample of the training rows."""
    train = by_block.drawn(dataset, splits["train"], seed)
    trained = _sorted_hashes(dataset, train)
    measured: tuple[SplitName, ...] = ("val", "test")
    for name in measured:
        some = by_block.drawn(dataset, splits[name], seed)
        count = int(np.isin(_sorted_hashes(dataset, some), trained).sum())
        if count:
            part = "" if len(train) == len(splits["train"]) else f" in a sample of {len(train):,}"
            yield (
                f"{count:,} of {amount(len(some), f'{name} row')} {agree(count, 'equals', 'equal')}"
                f" training rows{part}, so their metrics are too optimistic: remove"
                " equal rows from the file"
            )


def _sorted_hashes(dataset: Dataset, rows: Tensor) -> np.ndarray:
    """Return a hash of each row on disk, inputs and target, in ascending order."""
    found = []
    for part, inputs in by_block.portions_of(dataset, rows):
        targets = dataset.targets[part].numpy().reshape(len(part), -1)
        keys = zip(map(bytes, inputs.flatten(1).numpy()), map(bytes, targets), strict=True)
        found.append(np.fromiter(map(hash, keys), np.int64, len(part)))
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def _hashes(dataset: Dataset, rows: Tensor) -> Iterator[int]:
    """Yield a hash of each row, inputs and target."""
    inputs, targets = dataset.inputs.numpy(), dataset.targets.numpy()
    for row in rows.tolist():
        yield hash((inputs[row].tobytes(), targets[row].tobytes()))


def _at_random(dataset: Dataset, split: Split) -> tuple[Tensor, Tensor, Tensor]:
    """Split rows at random into training, validation and test."""
    rows = len(dataset.inputs)
    generator = torch.Generator().manual_seed(derive(split.seed))
    pool = torch.randperm(rows - dataset.test_rows - dataset.val_rows, generator=generator)
    missing, free = missing_targets(dataset), pool[:0]
    if missing.any():
        missing = missing[pool]
        pool, free = pool[~missing], pool[missing]
    if dataset.task == "classification":
        pool = pool[_by_class(dataset.targets, pool)]
    if dataset.test_rows:
        test, rest = torch.arange(rows - dataset.test_rows, rows), pool
    else:
        test, rest = _pick(pool, _count(pool, split.test_fraction))
    if dataset.val_rows:
        end = rows - dataset.test_rows
        return torch.cat([rest, free]), torch.arange(end - dataset.val_rows, end), test
    val, train = _pick(rest, _count(pool, split.val_fraction))
    return torch.cat([train, free]), val, test


def _by_class(targets: Tensor, pool: Tensor) -> Tensor:
    """Return the order that sorts rows by class, and leaves those of a class as they are; few bytes a row, if classes are few."""
    narrow = torch.int16 if int(targets.max()) < 1 << 15 else torch.int64
    return targets.to(narrow)[pool].sort(stable=True).indices


def _in_time(rows: int, gap: int, split: Split) -> tuple[Tensor, Tensor, Tensor]:
    """Split rows in their order; drop the last ``gap`` rows of training and validation, whose targets are in the next split."""
    order = torch.arange(rows)
    test, val = _count(order, split.test_fraction), _count(order, split.val_fraction)
    start, end = max(0, rows - test - val), rows - test
    return order[: max(0, start - gap)], order[start : max(start, end - (gap if test else 0))], order[end:]


def _count(rows: Tensor, fraction: float) -> int:
    """Return the number of rows in a fraction of the rows: at least one, unless the fraction is 0."""
    return max(1, round(len(rows) * fraction)) if fraction else 0


def _pick(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pick ``count`` rows at even distances; return them and the remaining rows."""
    count = min(count, len(rows))
    last = -(-torch.arange(1, count + 1) * len(rows) // max(1, count)) - 1  # of as many equal parts
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[last] = False
    return rows[last], rows[kept]
