"""Read a table as inputs of a finished run, with the columns that identify its rows."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat import table
from trainctl.fileformat.delimited import NUMBER
from trainctl.fileformat.number import PLAIN
from trainctl.fileformat.records import Records
from trainctl.fileformat.series import check_long_enough, in_order, windows
from trainctl.fileformat.table import rewritten
from trainctl.finished.inputs import Inputs, Keep
from trainctl.wording import amount, listed

IDENTIFIER = re.compile(r"(?i:(^|[\W_])(id|uuid|guid|key|name))$|[a-z](Id|ID|UUID)$")  # how such a column is called
NO_HEADER = "line 1 contains numbers, and is read as the first row: the file has no header"


def table_form(settings: Mapping[str, Any], changed: Sequence[str], schema: Schema) -> table.TableFormat:
    """Return how a file is written, as far as the settings of a run and of the command say it.

    Args:
        settings: Of the run's data set, with what the command changes.
        changed: The keys that the command changes; lines to skip are those of this file only.
        schema: Of the run's data, whose delimiter is tried first.
    """
    usual = schema.encoding.delimiter or "comma"
    return table.TableFormat(
        delimiter=settings["delimiter"] if "dataset.delimiter" in changed else "auto",
        usual="comma" if usual == "auto" else usual,
        encoding=settings.get("encoding", "auto"),
        header=settings.get("header", True),
        decimal=settings["decimal"] if "dataset.decimal" in changed else "auto",
        thousands=settings["thousands"] if "dataset.thousands" in changed else "auto",
        dates=settings.get("dates", "auto"),
        missing=tuple(map(str, settings.get("missing", ()))),
        skip=tuple(settings["skip"]) if "dataset.skip" in changed else (),
        ignore_case=settings.get("ignore_case", False),
    )


def read_table_inputs(
    source: Path,
    schema: Schema,
    form: table.TableFormat,
    settings: Mapping[str, Any],
    ids: Sequence[str] = (),
    *,
    keep: Keep = "none",
    content: bytes | None = None,
) -> Inputs:
    """Read the columns that the run was trained with, by their names; all columns in their order if they had no names.

    Args:
        source: The file.
        schema: Of the run's data.
        form: How the file is written.
        settings: Of the run's data set.
        ids: Columns that identify the rows.
        keep: Which further columns are kept with the rows.
        content: What is read instead of the file.

    Raises:
        DataError: If the file cannot be read as such rows; names line and column.
    """
    cells, notes = _read(source, schema, form, content)
    return table_inputs(cells, schema, settings, ids, keep=keep, notes=notes)


def table_inputs(
    cells: table.Table,
    schema: Schema,
    settings: Mapping[str, Any],
    ids: Sequence[str] = (),
    *,
    keep: Keep = "none",
    notes: tuple[str, ...] = (),
) -> Inputs:
    """Return the columns of a table that the run was trained with; arguments and errors: :func:`read_table_inputs`."""
    found = schema.columns or tuple(map(table.Column, schema.input_names or tuple(cells.header)))
    if len(shape := schema.input_shape) == 3 and len(found) != math.prod(shape):
        raise DataError(
            f"{cells.path}: this run predicts images of {'x'.join(map(str, shape))}: give images, or a table with a column"
            f" for each of their {math.prod(shape):,} numbers; this one has {len(found):,}"
        )
    unseen: table.Unseen | None = {} if settings.get("unknown", "ignore") == "ignore" else None
    values = table.encode(cells, _as_written(cells, found), unseen)
    notes = (*notes, *table.unseen_note(unseen or {}))
    window = schema.encoding.window
    if window and keep == "ids":
        keep = "none"  # a window has several rows of the file; its time and its series identify it
    kept = kept_columns(cells.header, [column.name for column in found], ids, keep, schema.target_names)
    if window:
        return _windows(cells, values, window, settings, kept, notes)
    identified = list(zip(*(cells.cells(name) for name in kept), strict=True))
    return Inputs(torch.from_numpy(values), tuple(kept), identified, notes)


def kept_columns(
    header: Sequence[str], inputs: Sequence[str], ids: Sequence[str], keep: Keep, targets: Sequence[str] = ()
) -> list[str]:
    """Return the columns that are kept with the rows, each once: first those that identify them.

    >>> kept_columns(["n", "x", "y"], ["x"], ["n"], "inputs"), kept_columns(["n", "x"], ["x"], [], "all")
    (['n', 'x'], ['n', 'x'])
    >>> kept_columns(["customer_id", "x", "id", "Name", "PassengerId", "paid"], ["x"], [], "ids", ["id"])
    ['customer_id', 'Name', 'PassengerId']
    >>> kept_columns(["customer_id", "x", "n"], ["x"], ["n"], "ids")
    ['n']
    """
    if keep == "ids":
        unused = [name for name in header if name not in (*inputs, *targets)]
        return list(dict.fromkeys(ids)) or [name for name in unused if is_identifier(name)]
    more = {"none": [], "inputs": inputs, "all": header}[keep]
    return list(dict.fromkeys([*ids, *more]))


def is_identifier(name: str) -> bool:
    """Return whether a column is called as if it identified a row.

    >>> [
    ...     name
    ...     for name in ("id", "Customer ID", "PassengerId", "uuid", "idea", "paid", "key_figure")
    ...     if is_identifier(name)
    ... ]
    ['id', 'Customer ID', 'PassengerId', 'uuid']
    """
    return IDENTIFIER.search(name.strip()) is not None


def _as_written(cells: table.Table, columns: Sequence[table.Column]) -> tuple[table.Column, ...]:
    """Return the columns of a run as this table writes their numbers; those of JSON and of programs are not written at all."""
    columns = columns if isinstance(cells, Records) else rewritten(cells, columns)
    return tuple(replace(column, number=PLAIN) if column.name in cells.typed else column for column in columns)


def _read(
    source: Path, schema: Schema, form: table.TableFormat, content: bytes | None
) -> tuple[table.Table, tuple[str, ...]]:
    """Return the file's cells, with the run's names for its columns where the file has none."""
    maybe_nameless = not schema.input_names and form.header
    try:
        cells = table.read_table(source, form, content)
    except DataError:
        if not maybe_nameless:
            raise
        cells = table.read_table(source, replace(form, header=False), content)
        if not all(map(NUMBER.fullmatch, cells.rows[0])):  # the only line is a header
            raise
        return cells, (NO_HEADER,)
    if maybe_nameless and all(map(NUMBER.fullmatch, cells.header)):
        return table.read_table(source, replace(form, header=False), content), (NO_HEADER,)
    names = [column.name for column in schema.columns] or list(schema.input_names)
    if not form.header and names and not set(names) <= set(cells.header):
        if len(names) != len(cells.header):
            raise DataError(
                f"{source}: has {amount(len(cells.header), 'column')} without names (dataset.header=false); this run reads"
                f" {len(names)}: {listed(names)}"
            )
        cells = replace(cells, header=names)
    return cells, ()


def _windows(
    cells: table.Table,
    values: np.ndarray,
    window: int,
    settings: Mapping[str, Any],
    ids: Sequence[str],
    notes: tuple[str, ...],
) -> Inputs:
    """Return every window of every series, and for several series or a time column what identifies it."""
    time, entity = settings.get("time"), settings.get("entity")
    found = in_order(cells, time, entity)
    shorter = check_long_enough(cells, found, window, f"this run reads windows of {window}")
    rows, _ = windows(found, window)
    names = tuple(dict.fromkeys([*filter(None, (entity, time)), *ids]))
    columns = [cells.cells(name) for name in names]
    last = [[column[row] for column in columns] for row in rows[:, -1]]
    shown = tuple(f"last {name}" if name == time else name for name in names)
    return Inputs(torch.from_numpy(values[rows]), shown, last, (*notes, *shorter, *found.notes))
