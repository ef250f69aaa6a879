"""No cleaning: values that are missing are an error."""

import torch

from trainctl.dataset.base import Dataset
from trainctl.errors import DataError


def none(*, dataset: Dataset) -> Dataset:
    """Return the data set as it is; a value that is missing or infinite is an error that counts and locates.

    Raises:
        DataError: If an input or a target is not finite.
    """
    for kind, values, names in (
        ("inputs", dataset.inputs, dataset.input_names),
        ("targets", dataset.targets, dataset.target_names),
    ):
        if not values.is_floating_point():
            continue
        bad = (~torch.isfinite(values)).flatten(1).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            label = names[column] if column < len(names) else str(column)
            raise DataError(
                f"{len(bad)} values of the {kind} are missing or infinite, the first in row {row}, column {label}"
            )
    return dataset
