"""Your own CSV file."""

from pathlib import Path
from typing import Literal

import torch

from trainctl.components.dataset.base import Dataset, Delimiter, Encoding, PathText, SchemaLike, required
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.digits import beyond_float64
from trainctl.fileformat.table import Column, encode, find_columns, read_table
from trainctl.fileformat.target import read_target


def csv(
    *,
    path: PathText | None,
    target: str | None,
    task: Literal["auto", "classification", "regression"],
    drop: list[str],
    categorical: list[str],
    delimiter: Delimiter,
    schema: SchemaLike | None,
) -> Dataset:
    r"""Return your own CSV file: numbers and categories, with a column to predict.

    The file is UTF-8 with a header. A column contains numbers if most of its cells are numbers; otherwise it contains
    categories, if there are at most 10 distinct values, or at most 100 distinct values, each occurring 3 times on
    average. Dates and free text are rejected with a hint. Categories are one-hot encoded over all values in the file;
    ``evaluate`` and ``predict`` reject a value that did not occur in it. Empty cells, NA, N/A, NaN, null, None and ``?``
    are missing values: see ``clean``.

    Args:
        path: The file; a relative path is relative to the current directory.
        target: Name of the column to predict.
        task: ``auto``: a classification if a target is text, or if all are whole numbers with at most 20 distinct
            values, each occurring twice on average; otherwise a regression, for which ``loss=mse`` is the usual loss.
        drop: Columns to ignore; a column without a name is called ``column_1``, according to its position.
        categorical: Columns that contain categories although they look like numbers or have many values.
        delimiter: Separator of cells: ``comma``, ``semicolon``, ``tab`` or ``pipe``.
        schema: A finished run's schema, which determines the columns and the classes. Supplied by ``assemble``.

    Returns:
        A table ``(N, F)`` with NaN for missing values; classes ``(N,)`` or values ``(N, 1)``.

    Raises:
        ConfigError: If ``path`` or ``target`` is null.
        DataError: If the file is invalid; the message names file, line and column.

    Source: Y. Shafranovich, RFC 4180, Common format and MIME type for CSV files, 2005.
    """
    file, target = Path(required("path", path, "FILE.csv")), required("target", target, "COLUMN")
    table = read_table(file, delimiter)
    if target in drop:
        raise ConfigError(f"dataset.drop={target}: this is the target, which cannot be dropped")
    if target in categorical:
        raise ConfigError(
            f"dataset.categorical={target}: this is the target; use dataset.task=classification to predict classes"
        )
    columns = (schema.columns or tuple(map(Column, schema.input_names))) if schema else ()
    if not columns:
        for name in (target, *drop, *categorical):
            table.cells(name)  # raises if it does not exist
        others = [name for name in table.header if name != target and name not in drop]
        if not others:
            raise DataError(f"{file}: has no columns other than the target and the dropped ones")
        columns = find_columns(table, others, categorical)
    values, class_names = read_target(
        table, target, schema.task if schema else task, schema.class_names if schema else None
    )
    targets = torch.from_numpy(values if class_names else values[:, None])
    names = tuple(name for column in columns for name in column.names)
    return Dataset(
        inputs=torch.from_numpy(encode(table, columns)),
        targets=targets,
        task="classification" if class_names else "regression",
        class_names=class_names,
        input_names=names,
        target_names=(target,),
        columns=columns,
        encoding=Encoding(delimiter=delimiter),
        source=file.name,
        lines=torch.tensor(table.lines),
        notes=beyond_float64(table, [*columns, *([] if class_names else [Column(target)])]),
    )
