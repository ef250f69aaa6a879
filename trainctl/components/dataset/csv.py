"""Your own CSV file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from trainctl.components.dataset.base import (
    Charset,
    Dataset,
    Dates,
    Decimal,
    Delimiter,
    Encoding,
    Keep,
    PathText,
    SchemaLike,
    Size,
    Thousands,
    cache_directory,
    of_same_columns,
    required,
    schema_json,
    table_on_disk,
)
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.csv_rows import Plan, convert, texts_of, without_values
from trainctl.fileformat.digits import beyond_float64
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.label import Guessed
from trainctl.fileformat.number import PLAIN, NumberFormat
from trainctl.fileformat.packed import Packer, Source, packed
from trainctl.fileformat.place import check_file
from trainctl.fileformat.room import Room, choose
from trainctl.fileformat.suspect import column_notes, counts_rows, kinds, spelling_notes
from trainctl.fileformat.table import (
    Column,
    Numeric,
    Table,
    TableFormat,
    Unseen,
    encode,
    find_columns,
    find_numeric,
    impossible_notes,
    read_table,
    rewritten,
    select,
    unclear_notes,
    unseen_note,
)
from trainctl.fileformat.table_stream import first_part
from trainctl.fileformat.target import read_target, reason_of
from trainctl.wording import listed, typed

READING = 20  # times the size of a file: memory while it is read whole


def csv(
    *,
    path: PathText | None,
    target: str | list[str] | None,
    task: Literal["auto", "classification", "regression"],
    columns: list[str],
    drop: list[str],
    categorical: list[str],
    delimiter: Delimiter,
    encoding: Charset,
    header: bool,
    decimal: Decimal,
    thousands: Thousands,
    dates: Dates,
    missing: list[str | int | float],
    skip: list[int],
    ignore_case: bool,
    unknown: Literal["ignore", "error"],
    keep: Keep,
    memory: Size | None,
    cache: PathText | None,
    schema: SchemaLike | None,
    room: Room | None = None,
) -> Dataset:
    r"""Return your own CSV file: numbers, dates and categories, with a column to predict.

    The file has a header; it may be packed by gzip, bzip2, xz or ZIP. JSON records are read too. Lines that begin with
    ``#`` are skipped. A column contains numbers if most of its cells are numbers, perhaps with thousands marks, decimal
    commas, a currency, a percent sign (35% is 0.35), or a negative number in parentheses; marks that can be read in two
    ways are read as the other columns of the file show, and reported. A column of dates becomes days since its first
    date, one of times hours since midnight. Other columns contain categories, if there are at most 10 distinct values,
    or at most 100 distinct values, each occurring 3 times on average. Free text is rejected with a hint. Categories are
    one-hot encoded over all values in the file. Empty cells, NA, N/A, NaN, null, None, ``?`` and the errors of
    spreadsheets are missing values, in columns of numbers also dashes: see ``clean``.

    Args:
        path: The file; a relative path is relative to the current directory.
        target: Name of the column to predict; a list of names is a regression with several targets; null or ``none``: no
            column, for a model that reconstructs its input, such as ``model=autoencoder``.
        task: ``auto``: a classification if a target is text, or if all are whole numbers with at most 20 distinct
            values, each occurring twice on average; otherwise a regression, for which ``loss=mse`` is the usual loss.
        columns: Columns to use as inputs, names or patterns such as ``gene_*``; empty: all but the target.
        drop: Columns to ignore, names or patterns; a column without a name is called ``column_1``, according to its
            position.
        categorical: Columns that contain categories although they look like numbers or have many values; names or
            patterns.
        delimiter: Separator of cells: ``comma``, ``semicolon``, ``tab``, ``pipe`` or ``space``; ``auto``: the one that
            fits the first lines.
        encoding: Of the characters; ``auto``: what the byte order mark says, or UTF-8.
        header: Whether the first row contains the names of the columns; false: they are ``column_1``, ``column_2``, ...
        decimal: Decimal mark of numbers: ``point`` or ``comma``; ``auto``: found for each column.
        thousands: Mark between groups of three digits: ``comma``, ``point``, ``space``, ``apostrophe`` or ``none``.
        dates: Order of dates such as 1/2/2024: ``day_first`` or ``month_first``.
        missing: Further words that mean a missing value, e.g. ``[-999,unknown]``.
        skip: Numbers of lines of the file to ignore, e.g. of units or totals.
        ignore_case: Whether texts that differ only in upper and lower case or spaces are one value.
        unknown: What ``evaluate`` and ``predict`` do with a category that did not occur in training: ``ignore``: encode it
            as no category, and report it; ``error``.
        keep: ``memory``: the file is read whole. ``disk``: it is read part by part, and converted once to rows on disk, which
            may be larger than memory; the first megabytes show what each column contains. ``auto``: on disk if reading the
            file whole would take more than half of the memory that is free.
        memory: The most memory that rows may take; null: half of what is free.
        cache: Directory of converted rows; null: ``~/.cache/trainctl/rows``.
        schema: A finished run's schema, which determines the columns and the classes. Supplied by ``assemble``.
        room: The memory that is free. Supplied by ``assemble``.

    Returns:
        A table ``(N, F)`` with NaN for missing values; classes ``(N,)`` or values ``(N, K)``.

    Raises:
        ConfigError: If ``path`` is null, or settings contradict each other.
        DataError: If the file is invalid; the message names file, line and column.

    Source: Y. Shafranovich, RFC 4180, Common format and MIME type for CSV files, 2005.
    """
    file = Path(required("path", path, "FILE.csv"))
    form = TableFormat(
        delimiter=delimiter, encoding=encoding, header=header, decimal=decimal, thousands=thousands, dates=dates,
        missing=tuple(map(str, missing)), skip=tuple(skip), ignore_case=ignore_case,
    )  # fmt: skip
    check_file(file)
    choice = choose(keep, memory, READING * file.stat().st_size, room, whole=True)
    if choice.disk:
        settings = [vars(form), target, task, columns, drop, categorical, unknown]
        source = Source([file], file.name, settings, Path(cache) if cache else cache_directory("cache") / "rows")
        if schema and (same := of_same_columns(source, schema)):
            return table_on_disk(same, choice.lines)
        source = replace(source, settings=[*settings, schema_json(schema)]) if schema else source
        wish = Wish(target, task, columns, drop, categorical, unknown, schema)
        return table_on_disk(packed(source, lambda packer: _convert(packer, file, form, wish)), choice.lines)
    table = read_table(file, form)
    names = _targeted(table, target)
    _check_targets(table, names, task, drop, categorical)
    known = (schema.columns or tuple(map(Column, schema.input_names))) if schema else ()
    inputs, unused = _inputs(table, names, columns, drop) if not known else ([column.name for column in known], ())
    chosen = [] if known else [*_selected(table, "categorical", categorical)]
    numeric = find_numeric(table, [*inputs, *names])
    found = rewritten(table, known) or find_columns(table, inputs, chosen, numeric)
    unseen: Unseen | None = {} if schema and unknown == "ignore" else None
    values = encode(table, found, unseen)
    targets = _targets(table, names, numeric, schema.task if schema else task, schema.class_names if schema else None)
    input_names = tuple(name for column in found for name in column.names)
    amounts = [] if targets.get("class_names") else [Column(name) for name in names]
    notes = beyond_float64(table, [*found, *amounts])
    if not schema:
        notes = (
            *notes,
            *unclear_notes(table, numeric),
            *impossible_notes(table, found),
            *_odd(table, names, found, values, targets),
        )
    return Dataset(
        inputs=torch.from_numpy(values),
        input_names=input_names,
        target_names=tuple(names),
        columns=found,
        encoding=Encoding(delimiter=table.form.delimiter),  # type: ignore[arg-type]
        source=file.name,
        lines=torch.tensor(table.lines),
        notes=(*notes, *unseen_note(unseen or {})),
        inferred=(*_lines(table, found, unused), *choice.lines),
        unlabelled=not names,
        **targets,
    )


@dataclass(frozen=True)
class Wish:
    """What the settings say about the columns of a file; see :func:`csv`."""

    target: str | list[str] | None
    task: str
    columns: list[str]
    drop: list[str]
    categorical: list[str]
    unknown: str
    schema: SchemaLike | None


def _targeted(table: Table, target: str | list[str] | None) -> list[str]:
    """Return the columns to predict."""
    return table.named(None if target == "none" and target not in table.header else target)


def _convert(packer: Packer, file: Path, form: TableFormat, wish: Wish) -> None:
    """Write the rows of a file; its first part shows what the columns contain."""
    layout, table, alone = first_part(file, form)
    names, schema = _targeted(table, wish.target), wish.schema
    _check_targets(table, names, wish.task, wish.drop, wish.categorical)
    known = (schema.columns or tuple(map(Column, schema.input_names))) if schema else ()
    inputs, unused = (
        ([column.name for column in known], ()) if known else _inputs(table, names, wish.columns, wish.drop)
    )
    chosen = frozenset(() if known else _selected(table, "categorical", wish.categorical))
    numeric = find_numeric(table, [*inputs, *names])
    empty = [] if alone or known else without_values(table, inputs)
    usable = [name for name in inputs if name not in empty]
    worded = () if alone or known else texts_of(table, usable, numeric)  # whether they are categories shows at the end
    seen = find_columns(table, usable, [*chosen, *worded], numeric)
    found = {column.name: column for column in rewritten(table, known) or seen} | {name: Column(name) for name in empty}
    columns = tuple(found[name] for name in inputs)
    formats = [Column(name, number=_format(numeric, name, wish.task)) for name in names]
    guessed = (
        reason_of(table, names, schema.task if schema else wish.task, formats[0].number)
        if names
        else Guessed("regression")
    )
    texts = frozenset(column.name for column in columns if column.categories) | (frozenset(empty) & chosen)
    plan = Plan(
        columns=columns if known else tuple(replace(column, categories=()) for column in columns),
        texts=texts,
        targets=tuple(formats),
        classes=guessed.task == "classification",
        chosen=chosen,
        class_names=schema.class_names if schema and schema.class_names else None,
        known=bool(known),
        unknown=wish.unknown,
        wide=bool(schema and schema.input_centre),
    )
    notes: list[str] = []
    if not schema:
        notes = [*unclear_notes(table, numeric), *impossible_notes(table, seen)]
        if alone:  # all rows are known
            answers = _targets(table, names, numeric, guessed.task, None)
            notes += _odd(table, names, seen, encode(table, seen), answers)
    first = () if alone else (("columns", f"what they contain was seen in the first {len(table.rows):,} rows"),)
    amounts = [] if plan.classes else [Column(name) for name in names]
    packer.facts |= {
        "targets": names,
        "task": guessed.task,
        "reason": "" if schema else guessed.reason,
        "other": "" if schema else guessed.other,
        "notes": [*beyond_float64(table, [*seen, *amounts]), *notes],
        "delimiter": layout.form.delimiter,
        "lines": [*_lines(table, seen, unused), *first],
        "source": file.name,
    }
    del table  # its cells take many times the memory of their text
    convert(packer, layout, plan)


def _check_targets(
    table: Table, names: Sequence[str], task: str, drop: Sequence[str], categorical: Sequence[str]
) -> None:
    """Raise ConfigError if the targets contradict other settings, DataError if one does not exist."""
    for name in names:
        table.cells(name)  # raises if it does not exist
        if name in drop:
            raise ConfigError(f"{typed('dataset.drop', [name])}: this is the target, which cannot be dropped")
        if name in categorical:
            raise ConfigError(
                f"{typed('dataset.categorical', [name])}: this is the target; use dataset.task=classification to predict classes"
            )
    if len(set(names)) != len(names):
        raise ConfigError(f"dataset.target=[{','.join(names)}]: list each column only once")
    if len(names) > 1 and task == "classification":
        raise ConfigError(
            f"dataset.target=[{','.join(names)}]: several targets are a regression; classes need one target"
        )


def _selected(table: Table, key: str, patterns: Sequence[str]) -> set[str]:
    """Return the columns that names and patterns match.

    Raises:
        ConfigError: If a pattern matches none.
        DataError: If a name does not exist.
    """
    found, missing = select(table.header, patterns)
    for name in missing:
        if set("*?[") & set(name):
            raise ConfigError(f"dataset.{key}=[{name}]: matches no column")
        table.cells(name)  # raises, with the nearest name
    return found


def _inputs(
    table: Table, targets: Sequence[str], columns: Sequence[str], drop: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of the input columns, and why others are not used, a line each."""
    kept, dropped = _selected(table, "columns", columns), _selected(table, "drop", drop)
    others = [name for name in table.header if name not in targets and (name in kept or not columns)]
    indices = [name for name in table.nameless if name in others and counts_rows(table, name)]
    inputs = [name for name in others if name not in dropped and name not in indices]
    if not inputs:
        raise DataError(f"{table.path}: has no columns other than the target and the dropped ones")
    out = [name for name in others if name in dropped]
    unused = [f"{listed(out)} (dataset.drop)"] if out else []
    unused += [f"{name} (unnamed row-number column)" for name in indices if name not in dropped]
    if columns:
        unused.append(f"{len(table.header) - len(targets) - len(others)} columns not listed in dataset.columns")
    return inputs, tuple(unused)


def _targets(
    table: Table, names: Sequence[str], numeric: Numeric, task: str, class_names: Sequence[str] | None
) -> dict[str, Any]:
    """Return the fields of a data set that depend on its targets."""
    if not names:
        return {"targets": torch.zeros(len(table.rows), 1), "task": "regression"}
    task = "regression" if len(names) > 1 else task
    formats = [_format(numeric, name, task) for name in names]
    read = [read_target(table, name, task, class_names, form) for name, form in zip(names, formats, strict=True)]
    values, classes = read[0]
    guessed = reason_of(table, names, task, formats[0]) if class_names is None else Guessed(task)
    return {
        "targets": torch.from_numpy(values if classes else np.stack([column for column, _ in read], axis=1)),
        "task": "classification" if classes else "regression",
        "class_names": classes,
        "task_reason": guessed.reason,
        "other_task": guessed.other,
    }


def _format(numeric: Numeric, name: str, task: str) -> NumberFormat:
    """Return how a target is written; numbers with a letter, such as 5a, are names unless the task says otherwise."""
    form = numeric.formats.get(name, PLAIN)
    return PLAIN if form.is_worded and task == "auto" else form


def _odd(
    table: Table, names: Sequence[str], columns: Sequence[Column], values: np.ndarray, targets: dict[str, Any]
) -> list[str]:
    """Return what is odd about the columns, a line each."""
    classes = targets.get("class_names", ())
    answers = targets["targets"].numpy() if targets.get("class_names") else targets["targets"].numpy()[:, 0]
    texts = [column.name for column in columns if column.categories]
    texts += names if classes else []
    return [*spelling_notes(table, texts), *column_notes(columns, values, answers, classes)]


def _lines(table: Table, columns: Sequence[Column], unused: Sequence[str]) -> tuple[InferredLine, ...]:
    """Return the lines of the block at the start of a run."""
    form = table.form.delimiter
    cells = [("cells", f"separated by {form}s; dataset.delimiter changes it")] if form != "comma" else []
    return (*cells, *kinds(columns), *(("unused", line) for line in unused))
