"""Clean and scale rows that stay on disk: what is done to all rows in memory elsewhere, portion by portion.

Portions are read in the order of the file and added in this order, so the same file gives the same bits. Medians and
quartiles need all values at once: they are those of a sample of the rows, drawn by the seed of the split.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from trainctl.components.clean import base
from trainctl.components.clean.base import LIMITS, Clean, Cleaner, missing_targets
from trainctl.components.dataset.base import Dataset
from trainctl.components.scale.base import Affine, Summary, summary_of
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.stored import PORTION_BYTES
from trainctl.fileformat.waiting import counted
from trainctl.machine.device import derive
from trainctl.wording import agree, amount

SAMPLED = 8  # so that the seed of samples differs from others
SAMPLE_ROWS = 1_000_000
SAMPLE_BYTES = 1 << 26  # rows of images are large: fewer of them


def drawn(dataset: Dataset, rows: Tensor, seed: int) -> Tensor:
    """Return at most a million of some rows, drawn by a seed, ascending; all of them if they are few."""
    assert dataset.stored is not None
    most = min(SAMPLE_ROWS, max(1, SAMPLE_BYTES // dataset.stored.row_bytes))
    if len(rows) <= most:
        return rows
    generator = torch.Generator().manual_seed(derive(SAMPLED, seed))
    return rows[torch.randint(len(rows), (most,), generator=generator).unique()]


def portions_of(dataset: Dataset, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the numbers of some rows, which ascend, and their inputs, some megabytes at a time."""
    assert dataset.stored is not None
    size = max(1, PORTION_BYTES // dataset.stored.row_bytes)
    for part in counted(
        rows.split(size), f"reading {dataset.stored.file.path.name}", -(-len(rows) // size), "portions"
    ):
        yield part, dataset.rows(part)


def select(clean: Clean, dataset: Dataset, *, unlabeled: bool) -> tuple[Dataset, list[str]]:
    """Return the data set with the rows that are kept, and a report, as :meth:`Clean.select` does.

    Raises:
        ConfigError: If cleaning drops equal rows, which needs all rows in memory.
        DataError: If values are infinite, or missing although that is an error.
    """
    if dataset.stored is None:
        return clean.select(dataset, unlabeled=unlabeled)
    if clean.duplicates == "drop":
        raise ConfigError(
            "clean.duplicates=drop: the rows stay on disk, where equal rows are not looked for: remove them from the file, or"
            " set dataset.keep=memory"
        )
    base.check(
        replace(dataset, inputs=torch.zeros(len(dataset.inputs), 0), stored=None),
        missing=clean.missing == "error",
        unlabeled=unlabeled,
    )
    lacking = missing_targets(dataset) & (not unlabeled) if clean.missing != "error" else None
    counts, gaps = _gaps(clean, dataset)
    if lacking is None:
        return dataset, []
    incomplete = lacking | gaps if clean.missing == "drop" else lacking
    if not (count := int(incomplete.sum())):
        return dataset, []
    where = base.columns(dataset, counts[None]) if clean.missing == "drop" else []
    where += [f"target {int(lacking.sum())}"] if lacking.any() else []
    report = [f"dropped {amount(count, 'row')} with missing values ({', '.join(where)})"]
    return dataset.take((~incomplete).nonzero()[:, 0]), report


def _gaps(clean: Clean, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Return how many values of each column are missing ``(F,)``, and which rows have such values ``(N,)``.

    Raises:
        DataError: If a value is infinite, or missing although that is an error; with the number of them and the first.
    """
    stored = dataset.stored
    assert stored is not None
    counts, gaps = torch.zeros(dataset.inputs.shape[-1], dtype=torch.long), torch.zeros(len(stored), dtype=torch.bool)
    if stored.images or stored.finite:
        return counts, gaps
    bad, first = 0, ""
    for rows, values in portions_of(dataset, torch.arange(len(stored))):
        wrong = ~values.isfinite() if clean.missing == "error" else values.isinf()
        if wrong.any():
            bad += int(wrong.sum())
            row, *_, column = wrong.nonzero()[0].tolist()
            first = first or f"row {int(rows[row]):,}, column {base.label(dataset, column)}"
        missing = values.isnan()
        counts += missing.flatten(0, -2).sum(0)
        gaps[rows] = missing.flatten(1).any(1)
    if bad:
        error = clean.missing == "error"
        hint = "; clean=drop drops such rows, clean=impute imputes the values" if error else ""
        problem = "missing or infinite" if error else "infinite"
        raise DataError(
            f"{amount(bad, 'value')} of the inputs {agree(bad, 'is', 'are')} {problem}, the first in {first}{hint}"
        )
    return counts, gaps


def spare(clean: Clean, dataset: Dataset, train: Tensor, seed: int) -> Tensor:
    """Return the training rows that are kept; if outliers are dropped, those without them."""
    if dataset.stored is None:
        return clean.spare(dataset, train)
    if clean.outliers != "drop" or dataset.stored.images:
        return train
    low, high = _limits(clean, dataset, train, seed)
    kept = [rows[~((values < low) | (values > high)).flatten(1).any(1)] for rows, values in portions_of(dataset, train)]
    return torch.cat(kept)


def fit(clean: Clean, dataset: Dataset, train: Tensor, seed: int) -> tuple[Cleaner, Tensor]:
    """Fit limits and fill values to the training rows; return them, and the training rows that are kept.

    Raises:
        DataError: If a column has no values in the training rows.
    """
    if dataset.stored is None:
        return clean.fit(dataset, train)
    train = spare(clean, dataset, train, seed)
    if dataset.stored.images:
        return Cleaner(), train
    low, high = _limits(clean, dataset, train, seed) if clean.outliers == "clip" else (None, None)
    clipped = Cleaner(None, low, high)
    return replace(clipped, fill=_fill(clean, dataset, train, clipped, seed)), train


def sampled(clean: Clean, dataset: Dataset, train: Tensor, scale: str, seed: int) -> list[str]:
    """Return what is fitted to a sample of the training rows, a line; none if nothing is.

    Args:
        clean: The cleaning.
        dataset: The data set.
        train: The training rows.
        scale: The scaling, if it is one that needs all values at once; empty otherwise.
        seed: Of the sample.
    """
    if dataset.stored is None or len(some := drawn(dataset, train, seed)) == len(train):
        return []
    table = not dataset.stored.images
    what = ["limits (clean.outlier_rule=iqr)"] if table and clean.outliers != "keep" and clean.rule == "iqr" else []
    if table and clean.missing == "impute" and clean.strategy in ("median", "most_frequent"):
        what.append(f"fill values (clean.strategy={clean.strategy})")
    what += [f"scale={scale}"] if scale else []
    if not what:
        return []
    return [f"{' and '.join(what)}: fitted to a sample of {len(some):,} of {amount(len(train), 'training row')}"]


def _limits(clean: Clean, dataset: Dataset, train: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    groups, distance = base.categories(dataset), clean.limit or LIMITS[clean.rule]
    if clean.rule == "iqr":
        return base.limits(dataset.rows(drawn(dataset, train, seed)), groups, clean.rule, distance)
    summary = summary_of(values for _, values in portions_of(dataset, train))
    mean, width = (each.flatten() for each in summary.moments)
    usable = (width > 0) & (summary.count.flatten() > 0)
    usable[[index for group in groups for index in group]] = False
    low = torch.where(usable, mean - distance * width, -torch.inf).float()
    return low, torch.where(usable, mean + distance * width, torch.inf).float()


def _fill(clean: Clean, dataset: Dataset, train: Tensor, clipped: Cleaner, seed: int) -> Tensor | None:
    """Return the fill value of each column; None if nothing is filled in."""
    if clean.missing != "impute":
        return None
    groups, columns = base.categories(dataset), dataset.inputs.shape[-1]
    if clean.strategy == "constant":
        return clean.fill(torch.empty(0, columns), groups, dataset)
    if clean.strategy != "mean":
        return clean.fill(clipped(dataset.rows(drawn(dataset, train, seed))).flatten(0, -2), groups, dataset)
    summary = summary_of(clipped(values) for _, values in portions_of(dataset, train))
    count, mean = summary.count.flatten(), summary.mean.flatten()
    if (count == 0).any():
        clean.fill(torch.full((1, columns), torch.nan).where(count == 0, 0.0), groups, dataset)  # raises, by name
    fill = mean.float()
    for group in groups:
        fill[list(group)] = 0.0
        fill[group.start + int((mean * count)[list(group)].argmax())] = 1.0
    return fill


def changes(clean: Clean, dataset: Dataset, cleaner: Cleaner, dropped: int) -> list[str]:
    """Report what a fitted cleaning changes, as :meth:`Clean.changes` does."""
    if dataset.stored is None:
        return clean.changes(dataset, cleaner, dropped)
    rule = f"{clean.rule} {clean.limit or LIMITS[clean.rule]:g}"
    report = [f"dropped {amount(dropped, 'training row')} with outliers ({rule})"] if dropped else []
    if dataset.stored.images or (cleaner.low is None and (cleaner.fill is None or dataset.stored.finite)):
        return report
    beyond = torch.zeros(dataset.inputs.shape[-1], dtype=torch.long)
    missing, rows = beyond.clone(), 0
    for _, values in portions_of(dataset, torch.arange(len(dataset.inputs))):
        if cleaner.low is not None and cleaner.high is not None:
            beyond += ((values < cleaner.low) | (values > cleaner.high)).flatten(0, -2).sum(0)
        missing += values.isnan().flatten(0, -2).sum(0)
        rows += int(values.isnan().flatten(1).any(1).sum())
    if count := int(beyond.sum()):
        report.append(f"clipped {amount(count, 'outlier')} ({rule}): {', '.join(base.columns(dataset, beyond[None]))}")
    if cleaner.fill is not None and rows:
        strategy = f"constant {clean.fill_value:g}" if clean.strategy == "constant" else clean.strategy
        where = ", ".join(base.columns(dataset, missing[None]))
        report.append(f"imputed missing values in {amount(rows, 'row')} ({strategy}): {where}")
    return report


def scaled(
    scale: Callable[..., Affine], dataset: Dataset, cleaner: Cleaner, train: Tensor, by_sample: str, seed: int
) -> Affine:
    """Return the scaling of the inputs, fitted to the training rows.

    Args:
        scale: Fits a scaling to rows; it may take a function that returns the :class:`Summary` of all of them.
        dataset: The data set.
        cleaner: The cleaning, which comes first.
        train: The training rows.
        by_sample: The name of a scaling that needs all values at once; it gets a sample. Others get one row.
        seed: Of the sample.
    """
    if dataset.stored is None:
        return scale(cleaner(dataset.inputs)[train])

    def summary() -> Summary:
        return summary_of(cleaner(values) for _, values in portions_of(dataset, train))

    some = drawn(dataset, train, seed) if by_sample else train[:1]
    return scale(cleaner(dataset.rows(some)), summary)
