"""What a picture is about: run, data and split, in one line. Imports no torch."""

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from trainctl.report.curve_charts import joined

SPLITS = {"train": "training rows", "val": "validation rows", "test": "test rows", "all": "all rows"}


def about(run: str, dataset: Mapping[str, Any], split: str = "") -> str:
    """Return the line.

    Args:
        run: Name of the run.
        dataset: The settings of its data set.
        split: Name of the split; empty for none.

    >>> about("my-run", {"name": "csv", "path": "/data/penguins.csv"}, "test")
    'my-run · penguins.csv · test rows'
    """
    return joined(run, data_name(dataset), SPLITS.get(split, split))


def data_name(dataset: Mapping[str, Any]) -> str:
    """Return what a data set is called: the name of its file or directory, if it has one, else its own.

    >>> data_name({"name": "digits"}), data_name({"name": "image_folder", "path": "/data/photos/"})
    ('digits', 'photos')
    """
    path = dataset.get("path")
    if isinstance(path, str) and (name := PurePath(path.rstrip(os.sep)).name):
        return name
    return str(dataset.get("name") or "")
