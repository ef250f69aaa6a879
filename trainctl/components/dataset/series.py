"""Your own time series, with forecasts as targets."""

from pathlib import Path
from typing import Annotated

import torch

from trainctl.components.dataset.base import Dataset, Delimiter, Encoding, PathText, required
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.digits import beyond_float64
from trainctl.fileformat.table import Column, encode, read_table

Count = Annotated[int, "[1, inf)"]


def series(
    *, path: PathText | None, columns: list[str], window: Count, horizon: Count, delimiter: Delimiter
) -> Dataset:
    r"""Return your own time series as windows, with the values that follow each window as targets.

    .. math:: x_i = (s_i, \dots, s_{i + W - 1}), \qquad y_i = (s_{i + W}, \dots, s_{i + W + H - 1})

    This is a regression, for which ``loss=mse`` is the usual loss. The splits follow each other in time: training,
    validation, test; windows whose targets extend into the next split are omitted. ``predict`` reads every window of a
    file; the last prediction is the forecast for the time after its end.

    Args:
        path: A CSV file with a header, whose rows are in order of time, at equal intervals.
        columns: The numeric columns to read and forecast.
        window: :math:`W`, number of rows that are read.
        horizon: :math:`H`, number of rows that are forecast.
        delimiter: Separator of cells: ``comma``, ``semicolon``, ``tab`` or ``pipe``.

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
    table = read_table(file, delimiter)
    numeric = tuple(map(Column, columns))
    values = torch.from_numpy(encode(table, numeric))
    count = len(values) - window - horizon + 1
    if count < 1:
        raise DataError(
            f"{file}: has {len(values)} rows, but a window of {window} and a horizon of {horizon} need {window + horizon}"
        )
    target_names = [f"{name}+{step}" for step in range(1, horizon + 1) for name in columns]
    return Dataset(
        inputs=values[: count + window - 1].unfold(0, window, 1).transpose(1, 2),
        targets=values[window:].unfold(0, horizon, 1).transpose(1, 2).flatten(1),
        task="regression",
        input_names=tuple(columns),
        target_names=tuple(target_names),
        ordered=True,
        gap_rows=horizon - 1,
        encoding=Encoding(window=window, delimiter=delimiter),
        source=file.name,
        lines=torch.tensor(table.lines).unfold(0, window + horizon, 1),
        notes=beyond_float64(table, numeric),
    )
