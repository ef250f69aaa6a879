"""Rows that are already in memory (arrays, data frames, records, texts, images) -> rows as a finished run reads them."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.records import from_records
from trainctl.finished.inputs import Coverage, Inputs, Keep
from trainctl.finished.open import Finished
from trainctl.finished.source import as_rows, background, cleaned, read_picture
from trainctl.finished.table_inputs import is_identifier, table_inputs
from trainctl.finished.text_inputs import encoded, split_texts, text_column

IN_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # Pillow's modes that PNG files have
EXPECTED = "numbers in an array, or records with named values"


def paths_in(given: object, schema: Schema) -> list[Path] | None:
    """Return the files that are given; None if rows are given themselves.

    A text alone is a path. A list of texts is one of texts for a run on texts, and one of paths for others.
    """
    if isinstance(given, str | Path):
        return [Path(given)]
    if not isinstance(given, list | tuple) or not given:
        return None
    kinds = Path if schema.vocabulary else (str, Path)
    return [Path(each) for each in given] if all(isinstance(each, kinds) for each in given) else None


def read_given(run: Finished, fitted: Fitted, given: object, name: str = "rows", keep: Keep = "none") -> Inputs:
    """Return rows in memory as a run reads them, cleaned; as many as were given, in their order.

    Args:
        run: The run.
        fitted: Its cleaning.
        given: An array ``(N, *shape)`` of NumPy or PyTorch, or nested lists; a data frame of pandas or polars; a mapping
            from names of columns to their values; a list of records, each a mapping; a list of texts; an image of Pillow
            or its bytes, or a list of them.
        name: What the rows are called in messages.
        keep: Which columns of a table are kept with the rows.

    Raises:
        DataError: If they do not have the shape and columns that the run was trained with; names row and column.
    """
    found = _read(run, given, name, keep)
    rows, lost = cleaned(found.rows, fitted, run.schema, Path(name))
    return replace(found, rows=rows, notes=(*found.notes, *lost))


def _read(run: Finished, given: object, name: str, keep: Keep) -> Inputs:
    if isinstance(given, bytes) or _is_of("PIL", given):
        given = [given]
    if (
        isinstance(given, list | tuple)
        and given
        and all(isinstance(each, bytes) or _is_of("PIL", each) for each in given)
    ):
        return _images(run, [each if isinstance(each, bytes) else _encoded(each) for each in given], name)
    records = records_of(given, name)
    if records is not None:
        return of_records(run, records, name, keep)
    texts = given.tolist() if isinstance(given, np.ndarray) and given.dtype.kind in "UO" else given
    if isinstance(texts, list | tuple) and texts and all(isinstance(each, str) for each in texts):
        return of_texts(run, texts, name)
    return of_array(run, given, name)


def records_of(given: object, name: str, *, index: bool = True) -> Sequence[Mapping[str, object]] | None:
    """Return a table in memory as records; None if it is something else.

    Args:
        given: The table.
        name: What it is called in messages.
        index: Whether the index of a data frame becomes a column if it is called like an identifier.

    Raises:
        DataError: If its columns have different lengths.
    """
    if isinstance(given, Mapping):
        return _of_columns(given, name)
    if isinstance(given, list | tuple) and given and all(isinstance(each, Mapping) for each in given):
        return given
    if hasattr(given, "columns") and callable(convert := getattr(given, "to_dict", None)):
        frame: Any = _of_pandas(given, index=index) if _is_of("pandas", given) else convert(as_series=False)
        return _of_columns(frame, name)
    return None


def _of_pandas(frame: Any, *, index: bool) -> dict[Any, Any]:
    """Return the columns of a data frame, perhaps with its index among them if it is called like an identifier."""
    name = frame.index.name
    if index and isinstance(name, str) and name not in frame.columns and is_identifier(name):
        frame = frame.reset_index()
    columns: dict[Any, Any] = frame.to_dict(orient="list")
    return columns


def _is_of(package: str, value: object) -> bool:
    return any(cls.__module__.partition(".")[0] == package for cls in type(value).__mro__)


def _of_columns(columns: Mapping[Any, Any], name: str) -> list[Mapping[str, object]]:
    """Return a mapping of columns as records; one whose values are plain is a record itself."""
    if not any(isinstance(values, list | tuple | np.ndarray) for values in columns.values()):
        return [{str(key): value for key, value in columns.items()}]
    with reading(name, what=f"expected {EXPECTED}"):
        lists = {str(key): list(np.atleast_1d(values) if isinstance(values, np.ndarray) else values)
                 if hasattr(values, "__iter__") and not isinstance(values, str) else [values]
                 for key, values in columns.items()}  # fmt: skip
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        shown = ", ".join(f"{key} {len(values)}" for key, values in list(lists.items())[:5])
        raise DataError(f"{name}: the columns have different lengths ({shown})")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _encoded(image: Any) -> bytes:
    """Return the bytes of a file with an image of Pillow, without loss."""
    content = io.BytesIO()
    image.save(content, format="PNG" if image.mode in IN_PNG else "TIFF")
    return content.getvalue()


def of_records(run: Finished, records: Sequence[Mapping[str, object]], name: str, keep: Keep = "none") -> Inputs:
    """Return records as rows: those of a table by the names of its columns, or texts in the column of texts.

    Raises:
        DataError: If they do not have the columns that the run was trained with.
    """
    cells = from_records(in_order(records, run.schema), name)
    if run.schema.vocabulary:
        column = text_column(run.schema, name)
        return of_texts(run, cells.cells(column), name)
    found = table_inputs(cells, run.schema, run.config.parts["dataset"], keep=keep)
    return replace(found, rows=as_rows(found.rows.numpy(), run.schema, Path(name)))


def in_order(records: Sequence[Mapping[str, object]], schema: Schema) -> Sequence[Mapping[str, object]]:
    """Return records with the names `input_0`, `input_1`, ... in their order, for a run whose columns have no names."""
    if schema.columns or schema.input_names or schema.vocabulary:
        return records
    names = [f"input_{index}" for index in range(schema.input_shape[-1])]
    named = all(set(record) == set(names) for record in records)
    return [{name: record[name] for name in names} for record in records] if named else records


def of_texts(run: Finished, texts: Sequence[str], name: str) -> Inputs:
    """Return texts as rows of token ids.

    Raises:
        DataError: If a text is empty, or the run reads no texts.
    """
    schema = run.schema
    if not schema.vocabulary:
        raise DataError(f"{name}: contains texts; this run takes rows of shape {schema.input_shape}")
    text_column(schema, name)
    words = split_texts(texts, schema)
    if (empty := next((row for row, found in enumerate(words) if not found), None)) is not None:
        raise DataError(f"{name}: row {empty} contains no text")
    rows, coverage = encoded(words, schema)
    return Inputs(rows, coverage=coverage)


def of_array(run: Finished, given: object, name: str) -> Inputs:
    """Return numbers as rows.

    Raises:
        DataError: If they are none, or have another shape than the run's rows.
    """
    if isinstance(given, list | tuple) and {isinstance(each, Mapping | str | bytes) for each in given} == {True, False}:
        other = next(row for row, each in enumerate(given) if not isinstance(each, type(given[0])))
        raise DataError(f"{name}: row {other} is of another kind than row 0; expected {EXPECTED}")
    with reading(name, what=f"expected {EXPECTED}"):
        if isinstance(given, torch.Tensor):
            given = given.detach().cpu()
            narrow = given.is_floating_point() and given.element_size() < 4  # NumPy has no bfloat16
            given = (given.float() if narrow else given).numpy()
        values = np.asarray(given)
    if values.dtype.kind == "O":  # such as None for a missing value
        with reading(name, what=f"contains something that is not a number; expected {EXPECTED}"):
            values = values.astype(np.float64)
    if values.dtype.kind not in "biuf":
        kind = "texts" if values.dtype.kind in "US" else str(values.dtype)
        raise DataError(f"{name}: contains {kind}; expected {EXPECTED}")
    return Inputs(as_rows(values, run.schema, Path(name)))


def _images(run: Finished, contents: Sequence[bytes], name: str) -> Inputs:
    """Return the bytes of image files as rows."""
    ground = background(run)
    several = len(contents) > 1
    rows = [
        read_picture(Path(f"{name}, image {index}" if several else name), run.schema, ground, content).rows
        for index, content in enumerate(contents)
    ]
    return Inputs(torch.cat(rows))


def notes_of(found: Inputs, schema: Schema) -> list[str]:
    """Return what is odd about rows, a line each."""
    coverage = Coverage()
    coverage += found.coverage
    return [*found.notes, *coverage.notes(schema.input_shape[0])]
