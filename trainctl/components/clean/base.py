"""The cleaning of a data set: which rows are kept before the split, and what the training rows determine after it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset
from trainctl.errors import DataError
from trainctl.fileformat.target import NO_CLASS
from trainctl.wording import agree, amount

Missing = Literal["error", "drop", "impute"]
Strategy = Literal["mean", "median", "most_frequent", "constant"]
Outliers = Literal["keep", "clip", "drop"]
Rule = Literal["zscore", "iqr"]
Limit = Annotated[float, "(0, inf)"] | None
Duplicates = Literal["keep", "drop"]
LIMITS = {"zscore": 3.0, "iqr": 1.5}  # the usual ones: 3 standard deviations; Tukey's 1.5 interquartile ranges


@dataclass(frozen=True)
class Cleaner:
    """A fitted cleaning: values beyond limits are clipped, then missing values are imputed. It is saved with the run.

    Args:
        fill: Replacement for NaN in each column, ``(F,)`` float32; None: NaN is not replaced.
        low: Lower limits, ``(F,)`` float32, -inf for a column without a limit; None: no column has one.
        high: Upper limits, ``(F,)`` float32, inf for a column without a limit; None: no column has one.
    """

    fill: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """Clean rows ``(N, ..., F)`` of floats; other types are returned unchanged."""
        if not values.is_floating_point():
            return values
        if self.low is not None and self.high is not None:
            values = values.clamp(self.low, self.high)  # NaN stays NaN
        if self.fill is None:
            return values
        filled: Tensor = torch.where(values.isnan(), self.fill, values)
        return filled

    @property
    def leaves_gaps(self) -> bool:
        """Whether missing values are left to the model, see :func:`leaving_gaps`."""
        return self.fill is not None and bool(self.fill.isnan().any())


def leaving_gaps(like: Tensor) -> Cleaner:
    """Return the cleaning of rows whose missing values the model itself imputes: it replaces NaN by NaN.

    Args:
        like: A fill value for each column ``(F,)``.
    """
    return Cleaner(fill=torch.full_like(like, torch.nan))


@dataclass(frozen=True)
class Clean:
    """The settings of a cleaning, before it is fitted.

    Args:
        missing: Whether missing values are an error, their rows are dropped, or they are imputed.
        strategy: Statistic of the training rows with which a column is imputed.
        fill_value: The value for the strategy ``constant``.
        outliers: What is done with values beyond the limits.
        rule: How the limits are computed from the training rows.
        limit: Distance of the limits [standard deviations, or interquartile ranges]; None: 3, or 1.5.
        duplicates: Whether only the first of equal rows is kept.
    """

    missing: Missing = "error"
    strategy: Strategy = "mean"
    fill_value: float = 0.0
    outliers: Outliers = "keep"
    rule: Rule = "zscore"
    limit: float | None = None
    duplicates: Duplicates = "keep"

    def select(self, dataset: Dataset, *, unlabeled: bool = False) -> tuple[Dataset, list[str]]:
        """Return the data set with the rows that are kept, before it is split, and a report of what was dropped.

        A missing target is never imputed: unless missing values are an error, its row is dropped.

        Args:
            dataset: The data set as it was read.
            unlabeled: Whether rows without a target are kept, because a teacher makes them useful.

        Raises:
            DataError: If values are infinite, or missing although that is an error; with their number and location.
        """
        report: list[str] = []
        check(dataset, missing=self.missing == "error", unlabeled=unlabeled)
        if self.missing != "error":
            lacking = missing_targets(dataset) & (not unlabeled)
            incomplete = lacking
            if self.missing == "drop" and dataset.inputs.is_floating_point():
                incomplete = incomplete | dataset.inputs.isnan().flatten(1).any(1)
            if count := int(incomplete.sum()):
                where = columns(dataset, dataset.inputs.isnan()) if self.missing == "drop" else []
                where += [f"target {int(lacking.sum())}"] if lacking.any() else []
                report.append(f"dropped {amount(count, 'row')} with missing values ({', '.join(where)})")
                dataset = dataset.take((~incomplete).nonzero()[:, 0])
        if self.duplicates == "drop":
            unique = first_of_equals(dataset)
            if count := len(dataset.inputs) - len(unique):
                report.append(f"dropped {amount(count, 'duplicate row')}")
                dataset = dataset.take(unique)
        return dataset, report

    def spare(self, dataset: Dataset, train: Tensor) -> Tensor:
        """Return the training rows that are kept; if outliers are dropped, those without them.

        Only training rows are dropped: validation, test and later rows are not affected.
        """
        rows = dataset.inputs[train]
        if self.outliers != "drop" or not rows.is_floating_point():
            return train
        low, high = self._limits(rows, dataset)
        return train[~((rows < low) | (rows > high)).flatten(1).any(1)]

    def fit(self, dataset: Dataset, train: Tensor) -> tuple[Cleaner, Tensor]:
        """Fit limits and fill values to the training rows; return them, and the training rows that are kept.

        Raises:
            DataError: If a column has no values in the training rows.
        """
        train = self.spare(dataset, train)
        values = dataset.inputs[train]
        if not values.is_floating_point():
            return Cleaner(), train
        low, high = self._limits(values, dataset) if self.outliers == "clip" else (None, None)
        values = values if low is None else values.clamp(low, high)
        fill = None if self.missing != "impute" else self.fill(values.flatten(0, -2), categories(dataset), dataset)
        return Cleaner(fill, low, high), train

    def _limits(self, values: Tensor, dataset: Dataset) -> tuple[Tensor, Tensor]:
        return limits(values, categories(dataset), self.rule, self.limit or LIMITS[self.rule])

    def fill(self, rows: Tensor, groups: Sequence[range], dataset: Dataset) -> Tensor:
        """Return the fill value of each column of ``(N, F)``; a missing category becomes the most frequent one."""
        if self.strategy == "constant":
            centre = torch.tensor(dataset.input_centre or [0.0], dtype=torch.float64)
            fill = (self.fill_value - centre).float().expand(rows.shape[1]).clone()
        else:
            fill = torch.stack([self._statistic(rows[:, index], dataset, index) for index in range(rows.shape[1])])
        for group in groups:
            fill[list(group)] = 0.0
            if self.strategy != "constant":
                fill[group.start + int(rows[:, list(group)].nansum(0).argmax())] = 1.0
        return fill

    def _statistic(self, column: Tensor, dataset: Dataset, index: int) -> Tensor:
        present = column[~column.isnan()].double()
        if not len(present):
            raise DataError(
                f"column {label(dataset, index)} has no values in the training rows: remove it, or use clean.strategy=constant"
            )
        if self.strategy == "most_frequent":
            values, counts = present.unique(return_counts=True)
            return torch.tensor(float(values[counts.argmax()]))  # on a tie the smallest, as in scikit-learn
        # NumPy's median, because torch.quantile accepts no more than 2^24 values
        statistic = float(present.mean()) if self.strategy == "mean" else float(np.median(present.numpy()))
        return torch.tensor(statistic)

    def changes(self, dataset: Dataset, cleaner: Cleaner, dropped: int) -> list[str]:
        """Report what a fitted cleaning changes in the rows that are kept."""
        values, report = dataset.inputs, []
        rule = f"{self.rule} {self.limit or LIMITS[self.rule]:g}"
        if dropped:
            report.append(f"dropped {amount(dropped, 'training row')} with outliers ({rule})")
        if cleaner.low is not None and cleaner.high is not None:
            beyond = (values < cleaner.low) | (values > cleaner.high)
            if count := int(beyond.sum()):
                report.append(f"clipped {amount(count, 'outlier')} ({rule}): {', '.join(columns(dataset, beyond))}")
        if cleaner.fill is not None and values.isnan().any():
            strategy = f"constant {self.fill_value:g}" if self.strategy == "constant" else self.strategy
            rows = int(values.isnan().flatten(1).any(1).sum())
            where = columns(dataset, values.isnan())
            report.append(f"imputed missing values in {amount(rows, 'row')} ({strategy}): {', '.join(where)}")
        return report


def check(dataset: Dataset, *, missing: bool, unlabeled: bool = False) -> None:
    """Raise DataError if a value is infinite, or missing where that is an error; each cell of a file counts once.

    Args:
        dataset: The data set.
        missing: Whether missing values are an error.
        unlabeled: Whether missing targets are none.
    """
    for kind, values in (("inputs", dataset.inputs), ("targets", dataset.targets)):
        wrong = missing and not (unlabeled and kind == "targets")
        if values.is_floating_point():
            bad = (~values.isfinite() if wrong else values.isinf()).flatten(1).nonzero()
        elif kind == "targets" and wrong:
            bad = missing_targets(dataset)[:, None].nonzero()
        else:
            continue
        if len(bad):
            indices, steps, names = _cells(dataset, kind, bad)
            row, step, index = int(bad[0, 0]), int(steps[0]), int(indices[0])
            name = names[index] if index < len(names) else "target" if kind == "targets" else str(index)
            lines = dataset.window_lines
            where = [bad[:, 0], steps] if lines is None else [lines[bad[:, 0], steps]]
            count = torch.stack([*where, indices]).unique(dim=1).shape[1]
            hint = "; clean=drop drops such rows" + (", clean=impute imputes the values" if kind == "inputs" else "")
            first = f"{dataset.locate(row, step)}, column {name}"
            problem = "missing or infinite" if wrong else "infinite"
            raise DataError(
                f"{amount(count, 'value')} of the {kind} {agree(count, 'is', 'are')} {problem}, the first in {first}{hint if wrong else ''}"
            )


def _cells(dataset: Dataset, kind: str, bad: Tensor) -> tuple[Tensor, Tensor, Sequence[str]]:
    """Return the columns and steps of values ``(row, index in the row)``, and the columns' names.

    All numbers that encode one category are one column. The targets of a window are its columns after its last step.
    """
    indices = bad[:, 1]
    if kind == "targets" and dataset.window_lines is None:
        return indices, torch.zeros_like(indices), dataset.target_names
    width = dataset.inputs.shape[-1]
    steps = indices // width + (dataset.inputs.shape[1] if kind == "targets" else 0)
    if not dataset.columns:
        return indices % width, steps, dataset.input_names
    columns = torch.tensor([index for index, column in enumerate(dataset.columns) for _ in column.names])
    return columns[indices], steps, [column.name for column in dataset.columns]


def missing_targets(dataset: Dataset) -> Tensor:
    """Return for each row whether its target is missing."""
    targets = dataset.targets
    return targets.isnan().flatten(1).any(1) if targets.is_floating_point() else targets == NO_CLASS


def first_of_equals(dataset: Dataset) -> Tensor:
    """Return the rows, in order, that equal no earlier row in inputs and target; missing values count as equal."""
    seen: set[bytes] = set()
    rows = []
    for row, (inputs, target) in enumerate(zip(dataset.inputs.numpy(), dataset.targets.numpy(), strict=True)):
        key = inputs.tobytes() + target.tobytes()
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return torch.tensor(rows, dtype=torch.int64)


def categories(dataset: Dataset) -> list[range]:
    """Return the input indices of each group of numbers that encodes the categories of one column."""
    groups, start = [], 0
    for column in dataset.columns:
        if column.categories:
            groups.append(range(start, start + len(column.categories)))
        start += len(column.names)
    return groups


def limits(values: Tensor, groups: Iterable[range], rule: Rule, limit: float) -> tuple[Tensor, Tensor]:
    """Return the lower and upper limit of each column ``(F,)``; infinite for constant columns and categories."""
    low, high = torch.full((values.shape[-1],), -torch.inf), torch.full((values.shape[-1],), torch.inf)
    excluded = {index for group in groups for index in group}
    for index, column in enumerate(values.flatten(0, -2).double().T):
        present = column[~column.isnan()]
        if index in excluded or not len(present):
            continue
        if rule == "zscore":
            lower = upper = present.mean()
            width = present.std(correction=0)
        else:
            lower, upper = torch.from_numpy(np.quantile(present.numpy(), [0.25, 0.75]))
            width = upper - lower
        if width > 0:
            low[index], high[index] = lower - limit * width, upper + limit * width
    return low, high


def columns(dataset: Dataset, flags: Tensor) -> list[str]:
    """Count flagged values by column, ``age 3``, in descending order; a categorical column counts once per row."""
    counts = flags.flatten(0, -2).sum(0).tolist()
    names = [name for column in dataset.columns for name in [column.name] * len(column.names)]
    by_name: dict[str, int] = {}
    for index, count in enumerate(counts):
        name = names[index] if names else label(dataset, index)
        by_name[name] = max(by_name.get(name, 0), int(count))
    return [f"{name} {count}" for name, count in sorted(by_name.items(), key=lambda item: -item[1]) if count]


def label(dataset: Dataset, index: int) -> str:
    """Return the name of an input column, or its number if it has none."""
    return dataset.input_names[index] if index < len(dataset.input_names) else str(index)
