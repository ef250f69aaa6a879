"""Move the rows of a data set to the device, cleaned and scaled as was fitted; rows on disk stay there."""

from collections.abc import Mapping

import torch
from torch import Tensor

from trainctl.components.clean.base import missing_targets
from trainctl.components.dataset.base import Dataset, Times
from trainctl.data import labels
from trainctl.data.rows import SPLITS, Data, Fitted, ResidentRows, Rows, SplitName, block
from trainctl.data.schema import Schema
from trainctl.data.split import DividedDataset
from trainctl.data.stored_rows import StoredRows
from trainctl.errors import DataError


def resident(divided: DividedDataset, fitted: Fitted, device: torch.device, notes: tuple[str, ...] = ()) -> Data:
    """Apply the fitted cleaning and scalings, and move the rows to the device; inputs on disk stay there.

    Raises:
        DataError: If values are missing and cleaning does not fill them in.
    """
    dataset, rows = divided.dataset, divided.rows
    inputs = fitted.cleaner(dataset.inputs) if dataset.stored is None else dataset.inputs
    if inputs.is_floating_point() and dataset.stored is None:  # those on disk are checked whenever they are read
        known = ~inputs.isinf() if fitted.cleaner.leaves_gaps else inputs.isfinite()
        if not known.all():
            raise DataError("values are missing, but the run was trained without imputation; fill them in")
    targets = dataset.targets if fitted.target_scale is None else fitted.target_scale(dataset.targets)
    whole = "all" in rows
    train, missing = rows["train"], missing_targets(dataset)[rows["train"]]

    def rows_of(numbers: Tensor) -> Rows:
        if dataset.stored is not None:
            return StoredRows(dataset.stored, numbers, targets[numbers].to(device), fitted.cleaner, device)
        if len(numbers) == len(inputs):  # all, in their order
            return ResidentRows(inputs.to(device), targets.to(device))
        return ResidentRows(inputs[numbers].to(device), targets[numbers].to(device))

    numbers: dict[SplitName, Tensor] = {"train": train[~missing], "val": rows["val"], "test": rows["test"]}
    splits: dict[SplitName, Rows] = (
        dict.fromkeys(rows, rows_of(train)) if whole else {name: rows_of(numbers[name]) for name in SPLITS}
    )
    return Data(
        splits=splits,
        schema=Schema.of(dataset),
        input_scale=fitted.input_scale.to(device),
        target_scale=None if fitted.target_scale is None else fitted.target_scale.to(device),
        cleaner=fitted.cleaner,
        changes=divided.changes,
        notes=notes,
        inferred=block(dataset),
        other_task=dataset.other_task,
        no_targets=dataset.no_targets,
        lines=lines(dataset, rows if whole else numbers),
        files=files(dataset, rows if whole else numbers),
        times=times(dataset, rows if whole else numbers),
        without_label=rows_of(train[missing]) if missing.any() else None,
        kept=None if whole else labels.kept(dataset, train),
    )


def lines(dataset: Dataset, rows: Mapping[SplitName, Tensor]) -> dict[SplitName, Tensor]:
    """Return the line of each row in the file, by split; of a window that of its last step; empty without a file."""
    found = dataset.lines
    if found is None:
        return {}
    ends = found if found.ndim == 1 else found[:, dataset.inputs.shape[1] - 1]
    return {name: ends[numbers] for name, numbers in rows.items()}


def files(dataset: Dataset, rows: Mapping[SplitName, Tensor]) -> dict[SplitName, tuple[str, ...]]:
    """Return the file of each row, by split; empty if rows are not files."""
    if not dataset.files:
        return {}
    return {name: tuple(dataset.files[number] for number in numbers.tolist()) for name, numbers in rows.items()}


def times(dataset: Dataset, rows: Mapping[SplitName, Tensor]) -> dict[SplitName, Times]:
    """Return when the rows of each split are; empty for a data set that says nothing about that."""
    found = dataset.times
    return {} if found is None else {name: found.take(numbers) for name, numbers in rows.items()}
