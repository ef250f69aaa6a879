"""Which columns of a table are used, and how its targets become numbers; for CSV and Parquet files."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainctl.components.dataset.base import SchemaLike
from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.csv_rows import Plan
from trainctl.fileformat.inferred import InferredLine
from trainctl.fileformat.label import Guessed
from trainctl.fileformat.number import PLAIN, NumberFormat
from trainctl.fileformat.suspect import column_notes, counts_rows, kinds, spelling_notes
from trainctl.fileformat.table import (
    Column,
    Numeric,
    Table,
    select,
)
from trainctl.fileformat.target import read_target, reason_of
from trainctl.wording import amount, listed, typed


def known_columns(schema: SchemaLike | None) -> tuple[Column, ...]:
    """Return the columns of a finished run, which its data must have; none for a new run."""
    return (schema.columns or tuple(map(Column, schema.input_names))) if schema else ()


def check_targets(
    names: Sequence[str],
    task: str,
    drop: Sequence[str],
    categorical: Sequence[str],
    require: Callable[[str], object],
) -> None:
    """Check that targets exist and do not contradict other settings.

    Args:
        names: The targets.
        task: ``dataset.task``.
        drop: ``dataset.drop``.
        categorical: ``dataset.categorical``.
        require: Raises DataError if there is no column of a name.

    Raises:
        ConfigError: If they contradict each other.
        DataError: If one does not exist.
    """
    for name in names:
        require(name)
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


def selected(
    header: Sequence[str], require: Callable[[str], object], key: str, patterns: Sequence[str]
) -> frozenset[str]:
    """Return the columns that names and patterns match.

    Args:
        header: All columns.
        require: Raises DataError if there is no column of a name, and names the nearest one.
        key: The setting without ``dataset.``.
        patterns: Its value.

    Raises:
        ConfigError: If a pattern matches none.
        DataError: If a name does not exist.
    """
    found, missing = select(header, patterns)
    for name in missing:
        if set("*?[") & set(name):
            raise ConfigError(f"dataset.{key}=[{name}]: matches no column")
        require(name)
    return frozenset(found)


def choose_inputs(
    table: Table, targets: Sequence[str], columns: Sequence[str], drop: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of the input columns, and why others are not used, a line each."""
    kept, dropped = (selected(table.header, table.cells, *each) for each in (("columns", columns), ("drop", drop)))
    others = [name for name in table.header if name not in targets and (name in kept or not columns)]
    indices = [name for name in table.nameless if name in others and counts_rows(table, name)]
    inputs = [name for name in others if name not in dropped and name not in indices]
    if not inputs:
        raise DataError(f"{table.path}: has no columns other than the target and the dropped ones")
    out = [name for name in others if name in dropped]
    unused = [f"{listed(out)} (dataset.drop)"] if out else []
    unused += [f"{name} (unnamed row-number column)" for name in indices if name not in dropped]
    if columns:
        unused.append(
            f"{amount(len(table.header) - len(targets) - len(others), 'column')} not listed in dataset.columns"
        )
    return inputs, tuple(unused)


def read_targets(
    table: Table, names: Sequence[str], numeric: Numeric, task: str, class_names: Sequence[str] | None
) -> dict[str, Any]:
    """Return the fields of a data set that depend on its targets."""
    if not names:
        return {"targets": torch.zeros(len(table.rows), 1), "task": "regression"}
    task = "regression" if len(names) > 1 else task
    formats = [target_format(numeric, name, task) for name in names]
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


def target_format(numeric: Numeric, name: str, task: str) -> NumberFormat:
    """Return how a target is written; numbers with a letter, such as 5a, are names unless the task says otherwise."""
    form = numeric.formats.get(name, PLAIN)
    return PLAIN if form.is_worded and task == "auto" else form


def odd_notes(
    table: Table, names: Sequence[str], columns: Sequence[Column], values: np.ndarray, targets: dict[str, Any]
) -> list[str]:
    """Return what is odd about the columns, a line each."""
    classes = targets.get("class_names", ())
    answers = targets["targets"].numpy() if targets.get("class_names") else targets["targets"].numpy()[:, 0]
    texts = [column.name for column in columns if column.categories]
    texts += names if classes else []
    return [*spelling_notes(table, texts), *column_notes(columns, values, answers, classes)]


def column_lines(table: Table, columns: Sequence[Column], unused: Sequence[str]) -> tuple[InferredLine, ...]:
    """Return the lines of the block at the start of a run."""
    form = table.form.delimiter
    cells = [("cells", f"separated by {form}s; dataset.delimiter changes it")] if form != "comma" else []
    return (*cells, *kinds(columns), *(("unused", line) for line in unused))


def plan_of(
    columns: Sequence[Column],
    texts: Iterable[str],
    targets: Sequence[Column],
    task: str,
    chosen: frozenset[str],
    unknown: str,
    schema: SchemaLike | None,
) -> Plan:
    """Return how the rows of a file are converted part by part.

    Args:
        columns: What the inputs contain.
        texts: Those among them that contain texts.
        targets: The columns to predict.
        task: ``classification`` or ``regression``.
        chosen: Columns that ``dataset.categorical`` names.
        unknown: ``dataset.unknown``.
        schema: A finished run's schema, whose columns and classes these are; None for a new run.
    """
    known = bool(known_columns(schema))
    return Plan(
        columns=tuple(columns) if known else tuple(replace(column, categories=()) for column in columns),
        texts=frozenset(texts),
        targets=tuple(targets),
        classes=task == "classification",
        chosen=chosen,
        class_names=schema.class_names if schema and schema.class_names else None,
        known=known,
        unknown=unknown,
        wide=bool(schema and schema.input_centre),
    )


def facts_of(
    source: str,
    targets: Sequence[str],
    guessed: Guessed,
    schema: SchemaLike | None,
    *,
    lines: Sequence[InferredLine],
    notes: Sequence[str] = (),
    delimiter: str | None = None,
) -> dict[str, Any]:
    """Return what is kept with converted rows, as :func:`trainctl.components.dataset._on_disk.table_on_disk` reads it.

    Args:
        source: The name of the file, for messages.
        targets: The columns to predict.
        guessed: The task, and why; only a new run reports the reason.
        schema: A finished run's schema; None for a new run.
        lines: What was inferred, for the block at the start.
        notes: What may surprise.
        delimiter: Between the cells; None if the file has none.
    """
    return {
        "source": source,
        "targets": list(targets),
        "task": guessed.task,
        "reason": "" if schema else guessed.reason,
        "other": "" if schema else guessed.other,
        "lines": list(lines),
        "notes": list(notes),
        "delimiter": delimiter,
    }
