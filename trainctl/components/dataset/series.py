"""A series in time of your own, and what comes next."""

from pathlib import Path
from typing import Annotated

import torch

from trainctl.components.dataset.base import Dataset, Delimiter, Encoding, PathText, required
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.table import Column, encode, narrow, read_table

Count = Annotated[int, "[1, inf)"]


def series(
    *, path: PathText | None, columns: list[str], window: Count, horizon: Count, delimiter: Delimiter
) -> Dataset:
    r"""Return windows of a series, and the values that follow each: a regression, for which ``loss=mse`` is usual.

    .. math:: x_i = (s_i, \dots, s_{i + W - 1}), \qquad y_i = (s_{i + W}, \dots, s_{i + W + H - 1})

    Splits follow each other in time: training, validation, test; windows whose targets reach into the next split are
    left out. ``predict`` reads every window of a file; the last is the forecast of what follows its end.

    Args:
        path: A CSV with a header; rows in the order of time, at equal distances.
        columns: Its columns of numbers that are read and forecast.
        window: :math:`W`, rows that are read.
        horizon: :math:`H`, rows that are forecast.
        delimiter: Between cells: ``comma``, ``semicolon``, ``tab`` or ``pipe``.

    Returns:
        Sequences ``(N, W, F)``, NaN where a value is missing, and values ``(N, H * F)``.

    Raises:
        ConfigError: If ``path`` or ``columns`` is not given.
        DataError: By file, line and column; if there are too few rows.

    Source: G. Box, G. Jenkins, Time Series Analysis, 1970 (forecasts from lagged values).
    """
    file = Path(required("path", path, "FILE.csv"))
    if not columns or len(set(columns)) != len(columns):
        raise ConfigError(f"dataset.columns=[{','.join(columns)}]: name each column to forecast once")
    table = read_table(file, delimiter)
    read = tuple(map(Column, columns))
    numbers, notes = narrow(encode(table, read), columns)
    values = torch.from_numpy(numbers)
    count = len(values) - window - horizon + 1
    if count < 1:
        raise DataError(
            f"{file}: has {len(values)} rows, a window of {window} and a horizon of {horizon} need {window + horizon}"
        )
    ahead = [f"{name}+{step}" for step in range(1, horizon + 1) for name in columns]
    return Dataset(
        inputs=values[: count + window - 1].unfold(0, window, 1).transpose(1, 2).contiguous(),
        targets=values[window:].unfold(0, horizon, 1).transpose(1, 2).flatten(1),
        task="regression",
        input_names=tuple(columns),
        target_names=tuple(ahead),
        ordered=True,
        gap_rows=horizon - 1,
        encoding=Encoding(window=window, delimiter=delimiter),
        source=file.name,
        lines=torch.tensor(table.lines).unfold(0, window + horizon, 1),
        notes=notes,
    )
