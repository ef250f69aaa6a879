"""Which training rows keep their labels; the labels of all others are removed before anything can read them."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trainctl.components.clean.base import missing_targets
from trainctl.components.dataset.base import Dataset
from trainctl.errors import ConfigError
from trainctl.fileformat.target import NO_CLASS
from trainctl.machine.device import derive
from trainctl.settings.config import Split
from trainctl.settings.spelling import no_such
from trainctl.wording import agree, amount

LABELS = 5  # so that the seed of the rows that keep labels differs from others
MOST_LISTED = 1000  # row numbers in run.json


@dataclass(frozen=True)
class Kept:
    """Which training rows have a label.

    Args:
        rows: Their row numbers in the data set, after cleaning, ascending.
        classes: How many rows of each class they are, by its name; empty for a regression.
        without: Number of training rows without a label.
    """

    rows: tuple[int, ...]
    classes: dict[str, int]
    without: int

    def facts(self) -> dict[str, Any]:
        """Return plain values for `run.json`; more than 1,000 row numbers are omitted."""
        listed = {"row_numbers": list(self.rows)} if len(self.rows) <= MOST_LISTED else {}
        return {"labeled": len(self.rows), "unlabeled": self.without, "classes": self.classes} | listed


def omit(dataset: Dataset, train: Tensor, split: Split) -> Tensor:
    """Return the training rows without those of the classes in ``split.omit``.

    Raises:
        ConfigError: If there is no such class.
    """
    if not split.omit:
        return train
    if dataset.task != "classification":
        raise ConfigError(
            f"split.omit=[{','.join(map(str, split.omit))}]: the data is a regression, which has no classes"
        )
    names = list(dataset.class_names)
    if unknown := [str(name) for name in split.omit if str(name) not in names]:
        raise ConfigError(f"split.omit={unknown[0]}: {no_such('class', unknown[0], names)}")
    codes = torch.tensor([names.index(str(name)) for name in split.omit])
    return train[~torch.isin(dataset.targets[train], codes)]


def hide(dataset: Dataset, train: Tensor, split: Split, *, strict: bool = True) -> Dataset:
    """Return the data set with the labels of only ``split.labels`` training rows; those of the others are removed.

    The rows that keep their labels are a function of ``split.seed``, and stratified: each class has its share, but at
    least one row, if there are enough.

    Args:
        dataset: The data set.
        train: Row numbers of the training split.
        split: How rows are split.
        strict: Whether more labels than there are is an error; if not, all are kept.

    Raises:
        ConfigError: If there are fewer labels.
    """
    if split.labels is None:
        return dataset
    known = train[~missing_targets(dataset)[train]]
    if strict and split.labels > len(known):
        raise ConfigError(
            f"split.labels={split.labels}: only {amount(len(known), 'training row')} {agree(len(known), 'has', 'have')} a label"
        )
    chosen = choose(dataset, known, min(split.labels, len(known)), split.seed)
    hidden = train[~torch.isin(train, chosen)]
    targets = dataset.targets.clone()
    targets[hidden] = torch.nan if targets.is_floating_point() else NO_CLASS
    return replace(dataset, targets=targets)


def choose(dataset: Dataset, rows: Tensor, count: int, seed: int) -> Tensor:
    """Return ``count`` of the rows, drawn at random; of classes each its share."""
    generator = torch.Generator().manual_seed(derive(LABELS, seed))
    rows = rows[torch.randperm(len(rows), generator=generator)]
    if dataset.task != "classification":
        return rows[:count].sort().values
    classes = dataset.targets[rows]
    quota = quotas(torch.bincount(classes, minlength=dataset.outputs).tolist(), count)
    parts = [rows[classes == index][:wanted] for index, wanted in enumerate(quota)]
    return torch.cat(parts).sort().values


def quotas(counts: list[int], total: int) -> list[int]:
    """Return how many rows of each class are chosen: in proportion, but at least one of each class if there are enough.

    What is left after rounding down goes to the largest remainders (Hamilton's method).

    Args:
        counts: Number of rows of each class.
        total: Number of rows to choose, at most the sum of the counts.

    >>> quotas([50, 30, 20], 10), quotas([97, 2, 1], 10), quotas([5, 0, 5], 2)
    ([5, 3, 2], [8, 1, 1], [1, 0, 1])
    """
    present = sum(count > 0 for count in counts)
    least = [int(count > 0 and total >= present) for count in counts]
    free = [count - one for count, one in zip(counts, least, strict=True)]
    rest, whole = total - sum(least), sum(free)
    exact = [rest * count / max(1, whole) for count in free]
    chosen = [one + int(share) for one, share in zip(least, exact, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda index: (int(exact[index]) - exact[index], index))
    for index in by_remainder[: total - sum(chosen)]:
        chosen[index] += 1
    return chosen


def kept(dataset: Dataset, train: Tensor) -> Kept | None:
    """Return which training rows have a label; None if all have one."""
    missing = missing_targets(dataset)[train]
    if not missing.any():
        return None
    rows = train[~missing]
    classes = {}
    if dataset.task == "classification":
        counts = torch.bincount(dataset.targets[rows], minlength=dataset.outputs).tolist()
        classes = dict(zip(dataset.class_names, counts, strict=True))
    return Kept(tuple(rows.tolist()), classes, int(missing.sum()))
