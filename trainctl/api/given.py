"""Rows in memory that a run is trained on: written to a file, which the run reads again when it is resumed or verified.

The name of the file is a digest of its content, so that the same rows are written once, and no other rows replace them.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.recognise import recognise
from trainctl.fileformat.records import from_records
from trainctl.fileformat.table import FEW, MOST, OFTEN
from trainctl.finished.in_memory import records_of
from trainctl.settings.spelling import nearest, spell
from trainctl.store import directories, files
from trainctl.wording import amount

FOLDER = "data"  # below the directory of runs
DIGITS = 12  # of the digest, in the name of a file
ROWS = "rows"  # what they are called in messages
Record = Mapping[str, object]


def words_of(given: Any, target: Any, root: Path) -> list[str]:
    """Write rows to a file below the directory of runs; return the words that train on it, the path first.

    Args:
        given: The rows.
        target: The name of the column to predict, a list of names, or the values to predict themselves; None: guessed.
        root: The directory of runs.

    Raises:
        DataError: If columns have different lengths, a value cannot be written, or there is no such target.
        StorageError: If the file cannot be written.
    """
    columns = [str(name) for name in getattr(given, "columns", ())]
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise DataError(f"{ROWS}: two columns are called {twice}; rename one")
    records = records_of(given, ROWS, index=False)
    if records is None:
        return _arrays(given, target, root)
    if not records:
        raise DataError(f"{ROWS}: there are none")
    records, names = _with_target(records, target)
    table = from_records(records, ROWS)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.header, *table.rows])
    words = [_written(text.getvalue().encode(errors="backslashreplace"), ".csv", root)]
    if names:
        words.append(f"dataset.target={spell(names[0] if len(names) == 1 else names)}")
    kinds: Any = getattr(getattr(given, "dtypes", None), "items", dict)()  # of pandas
    called = {str(name) for name, kind in kinds if str(kind) == "category"}
    inputs = [name for name in table.header if name not in names]
    categories = [name for name in inputs if name in called or _are_codes([record.get(name) for record in records])]
    if not categories or not names or recognise(Path(words[0]), {"target": names}).dataset != "csv":
        return words  # a target that is guessed may be one of them: then the columns are what they are in a file
    return [*words, f"dataset.categorical={spell(categories)}"]


def _with_target(records: Sequence[Record], target: Any) -> tuple[Sequence[Record], list[str]]:
    """Return the rows and the names of the columns to predict; values are added to the rows as a column.

    Raises:
        DataError: If there is no such column, or already one, or not a value for each row.
    """
    named = [target] if isinstance(target, str) else list(target) if isinstance(target, list | tuple) else []
    columns = dict.fromkeys(str(name) for record in records for name in record)
    is_names = named and len(named) <= len(columns) and all(isinstance(name, str) for name in named)
    if target is None or (is_names and (isinstance(target, str) or named[0] in columns or len(named) != len(records))):
        if missing := [name for name in named if name not in columns]:
            raise DataError(f"target={missing[0]}: no such column{nearest(missing[0], columns)}")
        return records, named
    name = str(getattr(target, "name", None) or "target")
    values = list(target.tolist() if hasattr(target, "tolist") else target)
    if name in columns:
        raise DataError(f"target={name}: the rows have a column of this name; give target={name!r}, or rename it")
    if len(values) != len(records):
        raise DataError(
            f"target: has {amount(len(values), 'value')} for {amount(len(records), 'row')}; give one for each row"
        )
    return [{**record, name: value} for record, value in zip(records, values, strict=True)], [name]


def _are_codes(values: Sequence[object]) -> bool:
    """Return whether a column's texts all have digits only, such as 00123, and occur often: they are categories."""
    texts = [value for value in values if isinstance(value, str)]
    distinct = len(set(texts))
    few = distinct <= FEW or (distinct <= MOST and OFTEN * distinct <= len(texts))
    return bool(texts) and few and all(text.strip().isdecimal() for text in texts)


def _arrays(given: Any, target: Any, root: Path) -> list[str]:
    """Write arrays as an .npz file."""
    if target is None or isinstance(target, str):
        raise DataError(f"{ROWS}: an array has no names of columns; give the values to predict, as target=VALUES")
    targets, inputs = np.asarray(target), np.asarray(given)
    if inputs.dtype == object:
        raise DataError(f"{ROWS}: the array holds Python objects; give numbers, or a table with names of columns")
    content = io.BytesIO()
    np.savez(content, inputs=inputs, targets=targets.astype(str) if targets.dtype == object else targets)
    return [_written(content.getvalue(), ".npz", root)]


def _written(content: bytes, suffix: str, root: Path) -> str:
    path = root.absolute() / FOLDER / f"{ROWS}-{hashlib.sha256(content).hexdigest()[:DIGITS]}{suffix}"
    directories.ensure_directory(path.parent)
    files.create_whole(path, content)
    return str(path)
