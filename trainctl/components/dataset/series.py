"""Your own time series, with forecasts as targets."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from trainctl.components.dataset.base import (
    Charset,
    Dataset,
    Dates,
    Decimal,
    Delimiter,
    Encoding,
    PathText,
    SchemaLike,
    Thousands,
    Times,
)
from trainctl.errors import ConfigError
from trainctl.fileformat.digits import beyond_float64
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.number import PLAIN
from trainctl.fileformat.place import required
from trainctl.fileformat.series import Sequences, check_long_enough, gap_rows, in_order, windows
from trainctl.fileformat.table import (
    Column,
    TableFormat,
    encode,
    find_numeric,
    read_table,
    rewritten,
    unclear_notes,
)
from trainctl.wording import listed

Count = Annotated[int, "[1, inf)"]


def series(
    *,
    path: PathText | None,
    columns: list[str],
    time: str | None,
    entity: str | None,
    window: Count,
    horizon: Count,
    delimiter: Delimiter,
    encoding: Charset,
    decimal: Decimal,
    thousands: Thousands,
    dates: Dates,
    missing: list[str | int | float],
    skip: list[int],
    schema: SchemaLike | None,
) -> Dataset:
    r"""Return your own time series as windows, with the values that follow each window as targets.

    .. math:: x_i = (s_i, \dots, s_{i + W - 1}), \qquad y_i = (s_{i + W}, \dots, s_{i + W + H - 1})

    This is a regression, for which ``loss=mse`` is the usual loss. The splits follow each other in time: training,
    validation, test; windows whose targets extend into the next split are omitted. ``predict`` reads every window of a
    file; the last prediction is the forecast for the time after its end.

    A file may contain several series, each with a value of its own in the column ``entity``; no window reaches across two.
    Without ``time``, rows stay in the order of the file, unless a column of dates shows that they are newest first.

    Args:
        path: A CSV file with a header, whose rows are at equal intervals; gaps and times that occur twice are reported.
        columns: The numeric columns to read and forecast.
        time: Column of dates or numbers by which rows are put in order; null: rows are in order of time.
        entity: Column that says to which of several series a row belongs; null: there is one series.
        window: :math:`W`, number of rows that are read.
        horizon: :math:`H`, number of rows that are forecast.
        delimiter: Separator of cells: ``comma``, ``semicolon``, ``tab``, ``pipe`` or ``space``; ``auto``: the one that
            fits the first lines.
        encoding: Of the characters; ``auto``: what the byte order mark says, or UTF-8.
        decimal: Decimal mark of numbers: ``point`` or ``comma``; ``auto``: found for each column.
        thousands: Mark between groups of three digits: ``comma``, ``point``, ``space``, ``apostrophe`` or ``none``.
        dates: Order of dates such as 1/2/2024: ``day_first`` or ``month_first``.
        missing: Further words that mean a missing value, e.g. ``[-999]``.
        skip: Numbers of lines of the file to ignore.
        schema: A finished run's schema, which determines how numbers are written. Supplied by ``assemble``.

    Returns:
        Sequences ``(N, W, F)`` with NaN for missing values, and values ``(N, H * F)``.

    Raises:
        ConfigError: If ``path`` is null, or ``columns`` is empty or contains a column twice.
        DataError: If the file is invalid or too short; the message names file, line and column.

    Source: G. Box, G. Jenkins, Time Series Analysis, 1970 (forecasts from lagged values).
    """
    file = Path(required("path", path, "FILE.csv"))
    if not columns:
        raise ConfigError("dataset.columns=[]: list the columns to forecast, e.g. dataset.columns=[sales]")
    if len(set(columns)) != len(columns):
        raise ConfigError(f"dataset.columns=[{','.join(columns)}]: list each column only once")
    form = TableFormat(
        delimiter=delimiter, encoding=encoding, decimal=decimal, thousands=thousands, dates=dates,
        missing=tuple(map(str, missing)), skip=tuple(skip),
    )  # fmt: skip
    table = read_table(file, form)
    found = in_order(table, time, entity)
    needs = f"a window of {window} and a horizon of {horizon} need {window + horizon}"
    shorter = check_long_enough(table, found, window + horizon, needs)
    numeric = find_numeric(table, columns)
    known = schema.columns if schema else ()
    written = rewritten(table, known) or tuple(
        Column(name, number=numeric.formats.get(name, PLAIN)) for name in columns
    )
    values = encode(table, written)
    rows = _in_time(found, windows(found, window + horizon)[0], window)
    return Dataset(
        inputs=torch.from_numpy(values[rows[:, :window]]),
        targets=torch.from_numpy(values[rows[:, window:]]).flatten(1),
        task="regression",
        input_names=tuple(columns),
        target_names=tuple(f"{name}+{step}" for step in range(1, horizon + 1) for name in columns),
        ordered=True,
        gap_rows=gap_rows(found.times[rows[:, window]], found.times[rows[:, -1]]) if entity else horizon - 1,
        columns=written if any(column.number != PLAIN for column in written) else (),
        encoding=Encoding(window=window, delimiter=table.form.delimiter),  # type: ignore[arg-type]
        source=file.name,
        lines=torch.tensor(table.lines)[torch.from_numpy(rows)],
        times=_moments(found, rows[:, window]),
        notes=(
            *beyond_float64(table, written),
            *(() if schema else unclear_notes(table, numeric)),
            *shorter,
            *found.notes,
        ),
        inferred=_lines(found, time, entity),
    )


def _moments(found: Sequences, rows: np.ndarray) -> Times | None:
    """Return when some rows of one series are; None if no column says it, or there are several series."""
    if not found.column or len(found.groups) > 1:
        return None
    return Times(torch.from_numpy(found.times[rows]), found.column, found.dated)


def _in_time(found: Sequences, rows: np.ndarray, window: int) -> np.ndarray:
    """Return windows ``(M, W + H)`` in order of the time of their first target; of one series, in the order of its rows."""
    if len(found.groups) == 1:
        return rows
    return rows[np.argsort(found.times[rows[:, window]], kind="stable")]


def _lines(found: Sequences, time: str | None, entity: str | None) -> tuple[InferredLine, ...]:
    """Return the lines of the block at the start of a run."""
    order = ("order", f"by column {time}" if time else "that of the file; dataset.time=COLUMN orders rows by a column")
    if not entity:
        return (order,)
    return (order, ("series", f"{len(found.groups):,}, by column {entity}: {listed(found.names)}"))
