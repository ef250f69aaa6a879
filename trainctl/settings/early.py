"""Check what a run will read, as far as that takes no torch: its paths, and the names of its columns."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from trainctl.errors import DataError
from trainctl.fileformat.cells import TableFormat, read_table
from trainctl.fileformat.place import check_directory, check_file, is_directory, required
from trainctl.settings import component
from trainctl.settings.config import Config

# What is read by each of our data sets that has a path.
EXAMPLES = {
    "csv": "FILE.csv", "series": "FILE.csv", "text": "FILE.csv", "arrays": "FILE.npz", "image_folder": "DIRECTORY",
    "parquet": "FILE.parquet", "tar": "'shards/*.tar'",
}  # fmt: skip
PATTERNS = ("parquet", "tar")  # their path may be a pattern
LARGEST = 1 << 22  # bytes of a table; the cells of a larger one take too much memory and time to be read twice


def require_data(checked: Config) -> None:
    """Check that the files of a run exist, and that a table has the columns that are named; the data set checks the rest.

    Raises:
        ConfigError: If a path is missing.
        DataError: If there is no such file, or no such column.
    """
    settings = checked.parts["dataset"]
    name = str(settings["name"])
    if name not in EXAMPLES or component.source("dataset", name) is None:
        return
    path = required("path", settings["path"], EXAMPLES[name])
    if name in PATTERNS:
        return
    if name == "image_folder":
        check_directory(Path(path))
    elif not (name == "text" and is_directory(Path(path))):
        check_file(Path(path))
    if name in ("csv", "series"):
        _require_columns(Path(path), settings)


def _require_columns(path: Path, settings: Mapping[str, Any]) -> None:
    """Check the names of the columns to predict, and of those that say when and of which series a row is."""
    if path.stat().st_size > LARGEST or settings.get("keep") == "disk" or settings.get("memory") is not None:
        return
    try:
        table = read_table(path, _form(settings), again=True)
    except DataError:
        return  # the data set says it, after what it has to say before
    names = [settings[key] for key in ("time", "entity") if settings.get(key) is not None]
    target = settings.get("target")
    names += [] if target == "none" else table.named(target)
    names += settings["columns"] if settings["name"] == "series" else []
    for name in names:
        table.cells(name)


def _form(settings: Mapping[str, Any]) -> TableFormat:
    """Return how the table is written, as the data set reads it: then it gets the table that was read here."""
    chosen = {field.name: settings[field.name] for field in fields(TableFormat) if field.name in settings}
    return TableFormat(**chosen | {"missing": tuple(map(str, settings["missing"])), "skip": tuple(settings["skip"])})
