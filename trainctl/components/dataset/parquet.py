"""Your own Parquet files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from trainctl.components.dataset._columns import check_targets, facts_of, known_columns, plan_of, selected
from trainctl.components.dataset._on_disk import kept, of_same_columns, schema_json
from trainctl.components.dataset.base import Dataset, Keep, PathText, SchemaLike, Size, cache_directory
from trainctl.errors import DataError
from trainctl.fileformat.arrow_memory import memory_of_the_system
from trainctl.fileformat.csv_rows import Plan
from trainctl.fileformat.label import Guessed
from trainctl.fileformat.packed import Packer, Source, packed
from trainctl.fileformat.parquet import Files, arrow, columns, convert, files_of
from trainctl.fileformat.place import required
from trainctl.fileformat.room import Room
from trainctl.fileformat.suspect import kinds
from trainctl.fileformat.table import Column
from trainctl.fileformat.target import guess_task
from trainctl.wording import listed, typed


def parquet(
    *,
    path: PathText | None,
    target: str | list[str] | None,
    task: Literal["auto", "classification", "regression"],
    columns: list[str],
    drop: list[str],
    categorical: list[str],
    unknown: Literal["ignore", "error"],
    keep: Keep,
    memory: Size | None,
    cache: PathText | None,
    schema: SchemaLike | None,
    room: Room | None = None,
) -> Dataset:
    """Return your own Parquet files: numbers, dates and categories, with a column to predict.

    The files are converted once, to rows of numbers in the cache; after that, pyarrow is not needed. Numbers and booleans
    are numbers; a date is days since the first one, a time of day hours since midnight. Texts are categories, if there are
    at most 10 distinct values, or at most 100 distinct values, each occurring 3 times on average, and are one-hot encoded.
    Nulls and NaN are missing values: see ``clean``. Needs the extra ``parquet``: ``pip install 'trainctl[parquet]'``.

    Args:
        path: A file; a directory, of which all ``.parquet`` files in and below it are read, in the order of their names; or
            a pattern such as ``'data/2024-*.parquet'``.
        target: Name of the column to predict; a list of names is a regression with several targets; null: no column, for a
            model that reconstructs its input, such as ``model=autoencoder``.
        task: ``auto``: a classification if the target is text or boolean, or if it has whole numbers with at most 20
            distinct values in the first 100,000 rows; otherwise a regression.
        columns: Columns to use as inputs, names or patterns such as ``gene_*``; empty: all but the target.
        drop: Columns to ignore, names or patterns.
        categorical: Columns of texts that contain categories although they have many values, and columns of numbers that
            contain categories; names or patterns.
        unknown: What ``evaluate`` does with a category that did not occur in training: ``ignore``: encode it as no category,
            and report it; ``error``.
        keep: ``memory``: all rows are in memory. ``disk``: they stay on disk, and are visited in windows of neighbouring rows
            that are shuffled. ``auto``: on disk if they would take more than half of the memory that is free.
        memory: The most memory that rows may take; null: half of what is free.
        cache: Directory of converted rows; null: ``~/.cache/trainctl/rows``.
        schema: A finished run's schema, which determines the columns and the classes. Supplied by ``assemble``.
        room: The memory that is free. Supplied by ``assemble``.

    Returns:
        A table ``(N, F)`` with NaN for missing values; classes ``(N,)`` or values ``(N, K)``.

    Raises:
        ConfigError: If ``path`` is null, or settings contradict each other.
        DataError: If a file is damaged, or its columns are not those of the others.
        UnavailableError: If pyarrow is not installed.

    Source: Apache Parquet, file format 2.
    """
    place = required("path", path, "FILE.parquet")
    files, name = files_of(place), Path(place).name
    settings = ["parquet", target, task, columns, drop, categorical, unknown]
    source = Source(files, name, settings, Path(cache) if cache else cache_directory("cache") / "rows", place)

    if schema and (same := of_same_columns(source, schema)):
        return kept(same, keep, memory, room)
    source = replace(source, settings=[*settings, schema_json(schema)]) if schema else source

    def write(packer: Packer) -> None:
        arrow()
        targets = [target] if isinstance(target, str) else list(target or ())
        with memory_of_the_system(installed=True):
            opened = Files(files, name)
            plan, guessed, unused = _plan(opened, targets, task, columns, drop, categorical, unknown, schema)
            lines = [*kinds([column for column in plan.columns if column.name not in plan.texts]), *unused]
            packer.facts |= facts_of(name, targets, guessed, schema, lines=lines)
            convert(packer, opened, plan)

    return kept(packed(source, write), keep, memory, room)


def _plan(
    files: Files,
    targets: Sequence[str],
    task: str,
    wanted: Sequence[str],
    drop: Sequence[str],
    categorical: Sequence[str],
    unknown: str,
    schema: SchemaLike | None,
) -> tuple[Plan, Guessed, list[tuple[str, str]]]:
    """Return what the columns contain, the task, and which columns are not used.

    Raises:
        ConfigError: If settings contradict each other.
        DataError: If a column does not exist.
    """
    check_targets(targets, task, drop, categorical, files.require)
    known = known_columns(schema)
    unused: list[tuple[str, str]] = []
    if known:
        found, texts = known, frozenset(column.name for column in known if column.categories)
        for column in known:
            files.require(column.name)
        _require_alike(files, [*targets, *(column.name for column in known)], [])
        chosen = frozenset[str]()
    else:
        named, dropped, chosen = (
            selected([*files.kinds], files.require, *each)
            for each in (("columns", wanted), ("drop", drop), ("categorical", categorical))
        )
        inputs = [name for name in files.kinds if name not in (*targets, *dropped) and (name in named or not wanted)]
        if not inputs:
            raise DataError(f"{files.name}: has no columns other than the target and the dropped ones")
        _require_alike(files, targets, inputs)
        found, texts = columns(files, inputs)
        texts |= chosen & set(inputs)
        out = [name for name in files.kinds if name in dropped]
        unused = [("unused", f"{listed(out)} (dataset.drop)")] if out else []
        if more := sorted({name for kinds in files.of_each.values() for name in kinds} - files.kinds.keys()):
            unused.append(("unused", f"{listed(more, most=20)} (not in {files.files[0].name})"))
    guessed = _guess(files, targets, schema.task if schema else task)
    plan = plan_of(found, texts, [*map(Column, targets)], guessed.task, chosen, unknown, schema)
    return plan, guessed, unused


def _require_alike(files: Files, targets: Sequence[str], inputs: Sequence[str]) -> None:
    """Check that all files have the columns that are used, of the same kinds.

    Raises:
        DataError: If one has not.
    """
    first = files.files[0].name
    for file, own in files.of_each.items():
        for name in (*targets, *inputs):
            before, now = files.kinds[name].word, own[name].word if name in own else "missing"
            if before != now:
                other = f", or set {typed('dataset.drop', [name])}" if name in inputs else ""
                raise DataError(
                    f"{file}: column {name} is {now}, in {first} it is {before}: write it again with the columns of {first}{other}"
                )


def _guess(files: Files, targets: Sequence[str], task: str) -> Guessed:
    """Return the task, and why.

    Raises:
        DataError: If a target is neither numbers nor texts.
    """
    for name in targets:
        kind = files.kinds[name]
        if kind.word not in ("number", "text") or (kind.word == "text" and (len(targets) > 1 or task == "regression")):
            raise DataError(f"{files.name}: column {name} is {kind.typed}, which cannot be predicted as {task} target")
    if len(targets) > 1:
        return Guessed("regression", "one output for each target")
    if not targets:
        return Guessed("regression")
    if task != "auto":
        return Guessed(task, f"as dataset.task={task} says")
    return guess_task(files.first(targets[0]))
