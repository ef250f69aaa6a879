"""Your own CSV file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from trainctl.components.dataset._columns import (
    check_targets,
    choose_inputs,
    column_lines,
    facts_of,
    known_columns,
    odd_notes,
    plan_of,
    read_targets,
    selected,
    target_format,
)
from trainctl.components.dataset._on_disk import of_same_columns, schema_json, table_on_disk
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
)
from trainctl.fileformat.csv_rows import convert, texts_of, without_values
from trainctl.fileformat.digits import beyond_float64
from trainctl.fileformat.label import Guessed
from trainctl.fileformat.packed import Packed, Packer, Source, packed
from trainctl.fileformat.place import check_file, required
from trainctl.fileformat.room import Room, choose
from trainctl.fileformat.table import (
    Column,
    Table,
    TableFormat,
    Unseen,
    encode,
    find_columns,
    find_numeric,
    impossible_notes,
    read_table,
    rewritten,
    unclear_notes,
    unseen_note,
)
from trainctl.fileformat.table_stream import first_part
from trainctl.fileformat.target import reason_of
from trainctl.wording import amount

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
        wish = Wish(target, task, columns, drop, categorical, unknown, schema)
        rows = _converted(file, form, wish, Path(cache) if cache else cache_directory("cache") / "rows")
        return table_on_disk(rows, choice.lines)
    table = read_table(file, form)
    names, known = _targeted(table, target), known_columns(schema)
    check_targets(names, task, drop, categorical, table.cells)
    inputs, unused = (
        choose_inputs(table, names, columns, drop) if not known else ([column.name for column in known], ())
    )
    chosen = [] if known else [*selected(table.header, table.cells, "categorical", categorical)]
    numeric = find_numeric(table, [*inputs, *names])
    found = rewritten(table, known) or find_columns(table, inputs, chosen, numeric)
    unseen: Unseen | None = {} if schema and unknown == "ignore" else None
    values = encode(table, found, unseen)
    targets = read_targets(
        table, names, numeric, schema.task if schema else task, schema.class_names if schema else None
    )
    input_names = tuple(name for column in found for name in column.names)
    amounts = [] if targets.get("class_names") else [Column(name) for name in names]
    notes = beyond_float64(table, [*found, *amounts])
    if not schema:
        notes = (
            *notes,
            *unclear_notes(table, numeric),
            *impossible_notes(table, found),
            *odd_notes(table, names, found, values, targets),
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
        inferred=(*column_lines(table, found, unused), *choice.lines),
        no_targets=not names,
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


def _converted(file: Path, form: TableFormat, wish: Wish, cache: Path) -> Packed:
    """Return the rows of a file on disk, from the cache or converted now."""
    settings = [vars(form), wish.target, wish.task, wish.columns, wish.drop, wish.categorical, wish.unknown]
    source, schema = Source([file], file.name, settings, cache), wish.schema
    if schema:
        if same := of_same_columns(source, schema):
            return same
        source = replace(source, settings=[*settings, schema_json(schema)])
    return packed(source, lambda packer: _convert(packer, file, form, wish))


def _convert(packer: Packer, file: Path, form: TableFormat, wish: Wish) -> None:
    """Write the rows of a file; its first part shows what the columns contain."""
    layout, table, alone = first_part(file, form)
    names, schema, known = _targeted(table, wish.target), wish.schema, known_columns(wish.schema)
    check_targets(names, wish.task, wish.drop, wish.categorical, table.cells)
    inputs, unused = (
        ([column.name for column in known], ()) if known else choose_inputs(table, names, wish.columns, wish.drop)
    )
    chosen = selected(table.header, table.cells, "categorical", () if known else wish.categorical)
    numeric = find_numeric(table, [*inputs, *names])
    empty = [] if alone or known else without_values(table, inputs)
    usable = [name for name in inputs if name not in empty]
    worded = () if alone or known else texts_of(table, usable, numeric)  # whether they are categories shows at the end
    seen = find_columns(table, usable, [*chosen, *worded], numeric)
    found = {column.name: column for column in rewritten(table, known) or seen} | {name: Column(name) for name in empty}
    columns = tuple(found[name] for name in inputs)
    formats = [Column(name, number=target_format(numeric, name, wish.task)) for name in names]
    guessed = (
        reason_of(table, names, schema.task if schema else wish.task, formats[0].number)
        if names
        else Guessed("regression")
    )
    texts = frozenset(column.name for column in columns if column.categories) | (frozenset(empty) & chosen)
    plan = plan_of(columns, texts, formats, guessed.task, chosen, wish.unknown, schema)
    notes: list[str] = []
    if not schema:
        notes = [*unclear_notes(table, numeric), *impossible_notes(table, seen)]
        if alone:  # all rows are known
            answers = read_targets(table, names, numeric, guessed.task, None)
            notes += odd_notes(table, names, seen, encode(table, seen), answers)
    first = () if alone else (("columns", f"what they contain was seen in the first {amount(len(table.rows), 'row')}"),)
    amounts = [] if plan.classes else [Column(name) for name in names]
    packer.facts |= facts_of(
        file.name,
        names,
        guessed,
        schema,
        lines=[*column_lines(table, seen, unused), *first],
        notes=[*beyond_float64(table, [*seen, *amounts]), *notes],
        delimiter=layout.form.delimiter,
    )
    del table  # its cells take many times the memory of their text
    convert(packer, layout, plan)
