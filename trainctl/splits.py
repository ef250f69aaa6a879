"""Which row goes to training, validation and test."""

import torch
from torch import Tensor

from trainctl.config import Split
from trainctl.dataset.base import Dataset
from trainctl.device import derive
from trainctl.errors import DataError
from trainctl.run import SplitName

# Keeps the seeds of epochs apart from those of steps.
ORDER = 1


def deal(dataset: Dataset, split: Split) -> dict[SplitName, Tensor]:
    """Return the rows of each split, sorted; stratified for classes.

    The source's own test rows are the test split; the fraction for validation is then one of the others.
    Rows are shuffled, sorted by class, and dealt out evenly along that line, so that a split gets
    exactly its share of all rows, and of each class to within two.

    Raises:
        DataError: If a split would be empty.
    """
    rows = len(dataset.inputs)
    generator = torch.Generator().manual_seed(derive(split.seed))
    pool = torch.randperm(rows - dataset.test_rows, generator=generator)
    if dataset.task == "classification":
        pool = pool[torch.sort(dataset.targets[pool], stable=True).indices]
    if dataset.test_rows:
        test, rest = torch.arange(rows - dataset.test_rows, rows), pool
    else:
        test, rest = _pick(pool, _share(pool, split.test_fraction))
    val, train = _pick(rest, _share(pool, split.val_fraction))
    if not len(val) or not len(train):
        raise DataError(
            f"{rows} rows are too few: {len(train)} for training, {len(val)} for validation, {len(test)} for test"
        )
    return {"train": train.sort().values, "val": val.sort().values, "test": test.sort().values}


def _share(rows: Tensor, fraction: float) -> int:
    """Return how many rows a fraction is: at least one, unless it is 0."""
    return max(1, round(len(rows) * fraction)) if fraction else 0


def _pick(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pick some of the rows, evenly spaced; return the picked and the others."""
    count = min(count, len(rows))
    index = torch.arange(len(rows))
    chosen = (index + 1) * count // max(1, len(rows)) > index * count // max(1, len(rows))
    return rows[chosen], rows[~chosen]


def epoch_order(rows: int, seed: int, epoch: int) -> Tensor:
    """Return the order in which an epoch visits the rows: a function of (seed, epoch) alone."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(derive(ORDER, seed, epoch)))
