"""Describe a data set as a run would read it: its columns, classes and splits, and what is odd about it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainctl.components.dataset.base import Dataset
from trainctl.data import by_block, load
from trainctl.data.rows import block
from trainctl.data.schema import Schema
from trainctl.data.shown import value_text
from trainctl.data.split import notes_on_splits, split_rows
from trainctl.errors import DataError
from trainctl.fileformat.damage import KEY, SKIPPED
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.table import Column
from trainctl.run.datasets import reader
from trainctl.settings.config import Config
from trainctl.wording import amount

MOST_CATEGORIES = 6  # named for a column


@dataclass(frozen=True)
class ColumnFacts:
    """What a column of the inputs contains.

    Args:
        name: Its name.
        kind: ``numbers``, ``categories`` or ``dates``.
        missing: Fraction of the rows in which it has no value.
        distinct: Number of distinct values.
        text: Its range and mean, or its categories with the number of rows of each.
    """

    name: str
    kind: str
    missing: float
    distinct: int
    text: str


@dataclass(frozen=True)
class Inspection:
    """What a data set contains.

    Args:
        schema: Shape and names of its rows, before a vocabulary was learned.
        rows: Number of rows.
        dtype: Type of the inputs.
        columns: Of a table or a sequence; empty for images and texts.
        classes: Number of rows of each class, by its name; empty for values.
        targets: The range of each target of a regression, by its name.
        splits: Number of rows of each split.
        inferred: What was inferred from the files, a label and a text each.
        notes: What is odd, a line each.
        damaged: Which inputs cannot be read, so that a run stops there, and what leaves them out; empty if there are none.
        dataset: The rows themselves.
    """

    schema: Schema
    rows: int
    dtype: str
    columns: tuple[ColumnFacts, ...]
    classes: dict[str, int]
    targets: dict[str, str]
    splits: dict[str, int]
    inferred: tuple[InferredLine, ...]
    notes: tuple[str, ...]
    damaged: tuple[str, ...]
    dataset: Dataset


def inspect(config: Config) -> Inspection:
    """Read a data set, and describe it; nothing is trained or written.

    Raises:
        DataError: If it cannot be read.
    """
    dataset, damaged = _read(config)
    looked_at, sampled = _sampled(dataset)
    parts = split_rows(dataset, config.split)
    own = "path" in config.parts["dataset"]
    classes: dict[str, int] = {}
    targets: dict[str, str] = {}
    if dataset.no_targets:
        pass
    elif dataset.task == "classification":
        counts = torch.bincount(dataset.targets[dataset.targets >= 0], minlength=dataset.outputs).tolist()
        classes = dict(zip(dataset.class_names or map(str, range(len(counts))), counts, strict=True))
    else:
        names = dataset.target_names or tuple(map(str, range(dataset.targets.shape[1])))
        targets = {name: _range(dataset.targets[:, index], _centre(dataset.target_centre, index))
                   for index, name in enumerate(names)}  # fmt: skip
    return Inspection(
        schema=Schema.of(dataset),
        rows=len(dataset.inputs),
        dtype=str(dataset.inputs.dtype).removeprefix("torch."),
        columns=tuple(_columns(looked_at)),
        classes=classes,
        targets=targets,
        splits={name: len(rows) for name, rows in parts.items()},
        inferred=block(dataset),
        notes=(*dataset.notes, *sampled, *notes_on_splits(dataset, parts, own=own)),
        damaged=damaged,
        dataset=dataset,
    )


def _read(config: Config) -> tuple[Dataset, tuple[str, ...]]:
    """Return the data set, and what of it cannot be read: that is described, too, where a run would stop.

    Raises:
        DataError: If it cannot be read, and leaving out what is damaged would not help.
    """
    name, settings = f"dataset={config.parts['dataset']['name']}", config.parts["dataset"]
    try:
        return load.read(reader(config), name), ()
    except DataError as error:
        if KEY not in str(error) or settings.get("damaged") != "error":
            raise
        without = replace(config, parts={**config.parts, "dataset": {**settings, "damaged": "skip"}})
        dataset = load.read(reader(without), name)
        notes = tuple(note for note in dataset.notes if not note.startswith(SKIPPED))
        return replace(dataset, notes=notes), error.lines


def _sampled(dataset: Dataset) -> tuple[Dataset, tuple[str, ...]]:
    """Return the data set with inputs in memory: of rows that stay on disk a sample, and a note that says so."""
    if dataset.stored is None:
        return dataset, ()
    rows = by_block.drawn(dataset, torch.arange(len(dataset.inputs)), 0)
    if len(rows) == len(dataset.inputs):
        return replace(dataset, inputs=dataset.rows(rows), stored=None), ()
    note = f"columns are described from a sample of {amount(len(rows), 'row')}; the others stay on disk"
    return replace(dataset, inputs=dataset.rows(rows), stored=None), (note,)


def _columns(dataset: Dataset) -> Iterator[ColumnFacts]:
    """Yield the facts of each column of a table; one-hot columns are one column of categories."""
    if dataset.vocabulary or not dataset.input_names:
        return
    known = dataset.columns or tuple(map(Column, dataset.input_names))
    start = 0
    for column in known:
        values = dataset.inputs[..., start : start + len(column.names)].reshape(-1, len(column.names))
        yield _categories(column, values) if column.categories else _numbers(column, values[:, 0], dataset, start)
        start += len(column.names)


def _categories(column: Column, values: Tensor) -> ColumnFacts:
    counts = values.nan_to_num().sum(0).long().tolist()
    ranked = sorted(zip(column.categories, counts, strict=True), key=lambda pair: -pair[1])
    shown = ", ".join(f"{name} {count:,}" for name, count in ranked[:MOST_CATEGORIES])
    more = len(ranked) - MOST_CATEGORIES
    missing = float(values.isnan().any(1).double().mean())
    return ColumnFacts(
        column.name, "categories", missing, len(ranked), shown + (f" and {more} more" if more > 0 else "")
    )


def _numbers(column: Column, values: Tensor, dataset: Dataset, index: int) -> ColumnFacts:
    values = values.float()
    missing = float(values.isnan().double().mean())
    distinct = len(values[~values.isnan()].unique())
    centre = _centre(dataset.input_centre, index)
    text = _dates(values, centre, column) if column.date else _range(values, centre)
    return ColumnFacts(column.name, "dates" if column.date else "numbers", missing, distinct, text)


def _dates(values: Tensor, centre: float, column: Column) -> str:
    """Return the first and the last date of a column, or of times of day the earliest and the latest."""
    finite = values[values.isfinite()].double() + centre
    if not len(finite):
        return "no values"
    return f"{value_text(float(finite.min()), column)} to {value_text(float(finite.max()), column)}"


def _centre(centres: tuple[float, ...], index: int) -> float:
    return centres[index] if centres else 0.0


def _range(values: Tensor, centre: float) -> str:
    """Return the range and the mean of the finite values of a column, in its own units."""
    finite = values[values.isfinite()].double() + centre
    if not len(finite):
        return "no values"
    low, high, mean = float(finite.min()), float(finite.max()), float(finite.mean())
    deviation = float(finite.std(correction=0)) if len(finite) > 1 else math.nan
    return f"{low:.6g} to {high:.6g}, mean {mean:.6g}, deviation {deviation:.6g}"
