"""A CSV file of your own."""

from pathlib import Path
from typing import Literal

import torch

from trainctl.components.dataset.base import Dataset, Delimiter, Encoding, PathText, SchemaLike, required
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.table import Column, encode, find_columns, narrow, read_table
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
    r"""Return a table of numbers and categories, with a column to predict.

    The file is UTF-8 with a header. A column is of numbers if most of its cells are; else of categories, if there
    are at most 10 different ones, or at most 100 that come 3 times each on average. Dates and free text are refused
    with a hint. A category becomes one number for each of its values in the whole file, 1 for its own and 0 for the
    others; ``evaluate`` and ``predict`` refuse a value that the file did not have. Empty cells, NA, N/A, NaN, null,
    None and ``?`` are missing: see ``clean``.

    Args:
        path: The file; a relative path is one from where the command is given.
        target: Name of the column to predict.
        task: ``auto``: a classification if a target is text, or all are whole numbers, at most 20 different ones that
            come twice each on average; else a regression, for which ``loss=mse`` is the usual choice.
        drop: Columns to leave out; one without a name is called ``column_1`` by its place.
        categorical: Columns that hold categories though they look like numbers, or have many values.
        delimiter: Between cells: ``comma``, ``semicolon``, ``tab`` or ``pipe``.
        schema: That of a finished run: its columns and classes are read. Supplied by ``assemble``.

    Returns:
        A table ``(N, F)`` with NaN where a value is missing; classes ``(N,)`` or values ``(N, 1)``.

    Raises:
        ConfigError: If ``path`` or ``target`` is not given.
        DataError: By file, line and column, where the file is not as it should be.

    Source: Y. Shafranovich, RFC 4180, Common format and MIME type for CSV files, 2005.
    """
    file, target = Path(required("path", path, "FILE.csv")), required("target", target, "COLUMN")
    table = read_table(file, delimiter)
    if target in drop:
        raise ConfigError(f"dataset.drop={target}: is the target too")
    if target in categorical:
        raise ConfigError(
            f"dataset.categorical={target}: is the target; dataset.task=classification makes classes of it"
        )
    columns = (schema.columns or tuple(map(Column, schema.input_names))) if schema else ()
    if not columns:
        for name in (target, *drop, *categorical):
            table.cells(name)  # says which are not there
        others = [name for name in table.header if name != target and name not in drop]
        if not others:
            raise DataError(f"{file}: has no column beside the target and those left out")
        columns = find_columns(table, others, categorical)
    values, class_names = read_target(
        table, target, schema.task if schema else task, schema.class_names if schema else None
    )
    targets = torch.from_numpy(values if class_names else values.astype("float32")[:, None])
    names = tuple(name for column in columns for name in column.names)
    inputs, notes = narrow(encode(table, columns), names)
    return Dataset(
        inputs=torch.from_numpy(inputs),
        targets=targets,
        task="classification" if class_names else "regression",
        class_names=class_names,
        input_names=names,
        target_names=(target,),
        columns=columns,
        encoding=Encoding(delimiter=delimiter),
        source=file.name,
        lines=torch.tensor(table.lines),
        notes=notes,
    )
