"""What every cleaning is: which rows stay before the split, and what is learned from the training rows after it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset
from trainctl.errors import DataError
from trainctl.fileformat.target import NO_CLASS

Missing = Literal["error", "drop", "impute"]
Strategy = Literal["mean", "median", "most_frequent", "constant"]
Outliers = Literal["keep", "clip", "drop"]
Rule = Literal["zscore", "iqr"]
Limit = Annotated[float, "(0, inf)"] | None
Duplicates = Literal["keep", "drop"]
LIMITS = {"zscore": 3.0, "iqr": 1.5}  # customary: three standard deviations; Tukey's one and a half quartile ranges


@dataclass(frozen=True)
class Cleaner:
    """A fitted cleaning of inputs: values beyond limits are clipped, then missing ones filled in; saved with the run.

    Args:
        fill: What takes the place of NaN in each column, ``(F,)`` float32; None: nothing does.
        low: Lower limits, ``(F,)`` float32, -inf for columns without; None: no column has any.
        high: Upper limits, likewise.
    """

    fill: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None

    def __call__(self, values: Tensor) -> Tensor:
        """Clean rows ``(N, ..., F)`` of floats; others are returned as they are."""
        if not values.is_floating_point():
            return values
        if self.low is not None and self.high is not None:
            values = values.clamp(self.low, self.high)  # NaN stays NaN
        if self.fill is None:
            return values
        filled: Tensor = torch.where(values.isnan(), self.fill, values)
        return filled


@dataclass(frozen=True)
class Clean:
    """A cleaning that is yet to be fitted.

    Args:
        missing: What becomes of rows with missing values: an error, dropped, or filled in.
        strategy: What fills a column, from the training rows.
        fill_value: The constant, for ``constant``.
        outliers: What becomes of values beyond the limits.
        rule: How limits follow from the training rows.
        limit: Distance of the limits [standard deviations, or interquartile ranges]; None: 3, or 1.5.
        duplicates: Whether only the first of equal rows stays.
    """

    missing: Missing = "error"
    strategy: Strategy = "mean"
    fill_value: float = 0.0
    outliers: Outliers = "keep"
    rule: Rule = "zscore"
    limit: float | None = None
    duplicates: Duplicates = "keep"

    def select(self, dataset: Dataset) -> tuple[Dataset, list[str]]:
        """Return a data set with the rows that stay, before it is split, and what was changed.

        A row without a target is never filled in: it is dropped wherever missing values are no error.

        Raises:
            DataError: If values are infinite, or missing and not allowed to be; counted and located.
        """
        report: list[str] = []
        check(dataset, missing=self.missing == "error")
        if self.missing != "error":
            absent = missing_targets(dataset)
            if self.missing == "drop" and dataset.inputs.is_floating_point():
                absent = absent | dataset.inputs.isnan().flatten(1).any(1)
            if count := int(absent.sum()):
                where = columns(dataset, dataset.inputs.isnan()) if self.missing == "drop" else []
                where += [f"target {int(missing_targets(dataset).sum())}"] if missing_targets(dataset).any() else []
                report.append(f"{count} rows with missing values dropped ({', '.join(where)})")
                dataset = dataset.take((~absent).nonzero()[:, 0])
        if self.duplicates == "drop":
            first = first_of_equals(dataset)
            if count := len(dataset.inputs) - len(first):
                report.append(f"{count} duplicate rows dropped")
                dataset = dataset.take(first)
        return dataset, report

    def spare(self, dataset: Dataset, train: Tensor) -> Tensor:
        """Return the training rows that stay where those with outliers are dropped.

        From the training rows only: validation, test and later rows are what they are.
        """
        rows = dataset.inputs[train]
        if self.outliers != "drop" or not rows.is_floating_point():
            return train
        low, high = self._limits(rows, dataset)
        return train[~((rows < low) | (rows > high)).flatten(1).any(1)]

    def fit(self, dataset: Dataset, train: Tensor) -> tuple[Cleaner, Tensor]:
        """Learn limits and fill values from the training rows; return them, and the training rows that stay.

        Raises:
            DataError: If a column has no value to learn from.
        """
        train = self.spare(dataset, train)
        values = dataset.inputs[train]
        if not values.is_floating_point():
            return Cleaner(), train
        low, high = self._limits(values, dataset) if self.outliers == "clip" else (None, None)
        values = values if low is None else values.clamp(low, high)
        fill = None if self.missing != "impute" else self._fill(values.flatten(0, -2), categories(dataset), dataset)
        return Cleaner(fill, low, high), train

    def _limits(self, values: Tensor, dataset: Dataset) -> tuple[Tensor, Tensor]:
        return limits(values, categories(dataset), self.rule, self.limit or LIMITS[self.rule])

    def _fill(self, rows: Tensor, groups: Sequence[range], dataset: Dataset) -> Tensor:
        """Return what fills each column of ``(N, F)``; a category is filled with the most frequent one."""
        if self.strategy == "constant":
            fill = torch.full((rows.shape[1],), self.fill_value)
        else:
            fill = torch.stack([self._centre(rows[:, place], dataset, place) for place in range(rows.shape[1])])
        for group in groups:
            fill[list(group)] = 0.0
            if self.strategy != "constant":
                fill[group.start + int(rows[:, list(group)].nansum(0).argmax())] = 1.0
        return fill

    def _centre(self, column: Tensor, dataset: Dataset, place: int) -> Tensor:
        present = column[~column.isnan()].double()
        if not len(present):
            raise DataError(
                f"column {label(dataset, place)} has no value in the training rows: leave it out, or give clean.strategy=constant"
            )
        if self.strategy == "most_frequent":
            values, counts = present.unique(return_counts=True)
            return torch.tensor(
                float(values[counts.argmax()])
            )  # of equally frequent ones the smallest, as in scikit-learn
        # numpy's median, because torch.quantile takes no more than 2^24 values
        centre = float(present.mean()) if self.strategy == "mean" else float(np.median(present.numpy()))
        return torch.tensor(centre)

    def changes(self, dataset: Dataset, cleaner: Cleaner, dropped: int) -> list[str]:
        """Say what a fitted cleaning changes in the rows that stay."""
        values, report = dataset.inputs, []
        words = f"{self.rule} {self.limit or LIMITS[self.rule]:g}"
        if dropped:
            report.append(f"{dropped} training rows with outliers dropped ({words})")
        if cleaner.low is not None and cleaner.high is not None:
            beyond = (values < cleaner.low) | (values > cleaner.high)
            if count := int(beyond.sum()):
                report.append(f"{count} outliers clipped ({words}): {', '.join(columns(dataset, beyond))}")
        if cleaner.fill is not None and (count := int(values.isnan().sum())):
            filled = f"the constant {self.fill_value:g}" if self.strategy == "constant" else f"the {self.strategy}"
            rows = int(values.isnan().flatten(1).any(1).sum())
            where = columns(dataset, values.isnan())
            report.append(f"missing values in {rows} rows filled in with {filled}: {', '.join(where)}")
        return report


def check(dataset: Dataset, *, missing: bool) -> None:
    """Raise DataError where a value is infinite, or missing if that is not allowed; cells of a file count once."""
    wrong = "missing or infinite" if missing else "infinite"
    for kind, values in (("inputs", dataset.inputs), ("targets", dataset.targets)):
        if values.is_floating_point():
            bad = (~values.isfinite() if missing else values.isinf()).flatten(1).nonzero()
        elif kind == "targets" and missing:
            bad = missing_targets(dataset)[:, None].nonzero()
        else:
            continue
        if len(bad):
            places, steps, names = _cells(dataset, kind, bad)
            row, step, place = int(bad[0, 0]), int(steps[0]), int(places[0])
            name = names[place] if place < len(names) else "target" if kind == "targets" else str(place)
            lines = dataset.window_lines
            where = [bad[:, 0], steps] if lines is None else [lines[bad[:, 0], steps]]
            count = torch.stack([*where, places]).unique(dim=1).shape[1]
            hint = "; clean=drop leaves such rows out" + (", clean=impute fills them in" if kind == "inputs" else "")
            raise DataError(
                f"{count} values of the {kind} are {wrong}, the first in {dataset.locate(row, step)}, column {name}"
                f"{hint if missing else ''}"
            )


def _cells(dataset: Dataset, kind: str, bad: Tensor) -> tuple[Tensor, Tensor, Sequence[str]]:
    """Return column and step of values ``(row, place in the row)``, and the columns' names.

    The numbers of one category are one column; the targets of a window are its columns, after its last step.
    """
    places = bad[:, 1]
    if kind == "targets" and dataset.window_lines is None:
        return places, torch.zeros_like(places), dataset.target_names
    width = dataset.inputs.shape[-1]
    steps = places // width + (dataset.inputs.shape[1] if kind == "targets" else 0)
    if not dataset.columns:
        return places % width, steps, dataset.input_names
    columns = torch.tensor([place for place, column in enumerate(dataset.columns) for _ in column.names])
    return columns[places], steps, [column.name for column in dataset.columns]


def missing_targets(dataset: Dataset) -> Tensor:
    """Say for each row whether its target is missing."""
    targets = dataset.targets
    return targets.isnan().flatten(1).any(1) if targets.is_floating_point() else targets == NO_CLASS


def first_of_equals(dataset: Dataset) -> Tensor:
    """Return the rows, in order, that have no equal before them, inputs and target; missing values are equal."""
    seen: set[bytes] = set()
    rows = []
    for row, (inputs, target) in enumerate(zip(dataset.inputs.numpy(), dataset.targets.numpy(), strict=True)):
        key = inputs.tobytes() + target.tobytes()
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return torch.tensor(rows, dtype=torch.int64)


def categories(dataset: Dataset) -> list[range]:
    """Return the places of each group of numbers that stands for the categories of one column."""
    groups, start = [], 0
    for column in dataset.columns:
        if column.categories:
            groups.append(range(start, start + len(column.categories)))
        start += len(column.names)
    return groups


def limits(values: Tensor, groups: Iterable[range], rule: Rule, limit: float) -> tuple[Tensor, Tensor]:
    """Return the lower and upper limit of each column ``(F,)``; infinite where a column is constant or a category."""
    low, high = torch.full((values.shape[-1],), -torch.inf), torch.full((values.shape[-1],), torch.inf)
    spared = {place for group in groups for place in group}
    for place, column in enumerate(values.flatten(0, -2).double().T):
        present = column[~column.isnan()]
        if place in spared or not len(present):
            continue
        if rule == "zscore":
            lower = upper = present.mean()
            width = present.std(correction=0)
        else:
            lower, upper = torch.from_numpy(np.quantile(present.numpy(), [0.25, 0.75]))
            width = upper - lower
        if width > 0:
            low[place], high[place] = lower - limit * width, upper + limit * width
    return low, high


def columns(dataset: Dataset, flags: Tensor) -> list[str]:
    """Count flagged values by column, ``age 3``, most first; a column of categories counts once a row."""
    counts = flags.flatten(0, -2).sum(0).tolist()
    names = [name for column in dataset.columns for name in [column.name] * len(column.names)]
    by_name: dict[str, int] = {}
    for place, count in enumerate(counts):
        name = names[place] if names else label(dataset, place)
        by_name[name] = max(by_name.get(name, 0), int(count))
    return [f"{name} {count}" for name, count in sorted(by_name.items(), key=lambda item: -item[1]) if count]


def label(dataset: Dataset, place: int) -> str:
    """Return the name of a column of the inputs, or its number."""
    return dataset.input_names[place] if place < len(dataset.input_names) else str(place)
