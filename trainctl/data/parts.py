"""A data set that is divided into splits, before its rows are cleaned and scaled."""

from dataclasses import dataclass

from torch import Tensor

from trainctl.components.dataset.base import Dataset
from trainctl.data.rows import SplitName


@dataclass(frozen=True)
class Parts:
    """A data set whose rows were assigned to splits.

    Args:
        dataset: The data set, without the rows that cleaning has dropped.
        rows: The row numbers of each split; if ``all`` is among the splits, each split has all rows.
        changes: What cleaning changed, a line each.
    """

    dataset: Dataset
    rows: dict[SplitName, Tensor]
    changes: tuple[str, ...]
