"""Find out what each column of a table contains: numbers, dates, categories, or nothing of use. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from trainctl.errors import DataError
from trainctl.fileformat import label
from trainctl.fileformat.cells import Table, TableFormat, folded, is_missing, is_no_number, read_table, short
from trainctl.fileformat.date import find_order, impossible, read_days
from trainctl.fileformat.delimited import MARKS, NUMBER
from trainctl.fileformat.encode import Column, Unseen, encode, number, numbers, one_hot, unseen_note
from trainctl.fileformat.number import INFINITE, NumberFormat, choose, guess, read_number
from trainctl.wording import amount, typed

__all__ = [  # all that reads tables needs this module alone
    "MARKS", "NUMBER", "Column", "Table", "TableFormat", "Unseen", "encode", "find_columns", "folded", "is_missing",
    "is_no_number", "number", "numbers", "one_hot", "read_table", "short", "unseen_note",
]  # fmt: skip
# A column of texts contains categories if few values are distinct or each occurs often; otherwise it is free text.
FEW, MOST, OFTEN = 10, 100, 3


@dataclass(frozen=True)
class Numeric:
    """Which columns of a table contain numbers, and how they are written.

    Args:
        formats: Of each column in which most cells are numbers.
        unclear: Columns whose marks could also be read otherwise.
    """

    formats: Mapping[str, NumberFormat]
    unclear: tuple[str, ...]


def find_numeric(table: Table, names: Sequence[str]) -> Numeric:
    """Return which columns contain numbers: those of which most cells are, in one format or another."""
    guesses = {}
    for name in names:
        present = [cell for cell in table.cells(name) if not is_no_number(cell)]
        found = guess(present, table.form.decimal, table.form.thousands)
        infinite = sum(INFINITE.fullmatch(cell) is not None for cell in present) if found.numbers < len(present) else 0
        if found.formats and 2 * (found.numbers + infinite) > len(present):
            guesses[name] = found
    formats, unclear = choose(guesses, table.form.delimiter)
    return Numeric(formats, tuple(unclear))


def find_columns(
    table: Table, names: Sequence[str], categorical: Sequence[str], numeric: Numeric | None = None
) -> tuple[Column, ...]:
    """Return which columns contain numbers, dates or categories; reject free text.

    A column is numeric if most of its cells are numbers, and a date if all are dates or times. Otherwise it is
    categorical, if it has at most 10 distinct values, or at most 100 that occur 3 times on average. Columns named in
    ``categorical`` are categorical in any case.

    Args:
        table: The file.
        names: The columns.
        categorical: Those that are categorical in any case.
        numeric: Which columns contain numbers; None: those of ``names`` are looked at.

    Raises:
        DataError: With line and column, if a column is neither, or its dates can be read in two ways.
    """
    formats = (numeric or find_numeric(table, names)).formats
    return tuple(_find(table, name, formats.get(name), categorical=name in categorical) for name in names)


def _find(table: Table, name: str, form: NumberFormat | None, *, categorical: bool) -> Column:
    cells = table.cells(name)
    drop = f"drop it with {typed('dataset.drop', [name])}"
    if name in table.nameless:
        raise DataError(f"{table.path}, line 1: {name} has no name in the header (an index?); {drop}")
    if all(map(is_missing, cells)):
        raise DataError(f"{table.path}, column {name}: has no value in {amount(len(cells), 'row')}; {drop}")
    if form and not categorical:
        return Column(name, number=form)
    present = [(row, cell) for row, cell in enumerate(cells) if not is_missing(cell)]
    distinct = label.distinct(cell for _, cell in present)
    if categorical:
        return Column(name, tuple(distinct))
    if date := _date(table, name, present):
        return date
    row, cell = present[0]
    _refuse_lost_numbers(table, name, present)
    if len(distinct) <= FEW or (len(distinct) <= MOST and OFTEN * len(distinct) <= len(present)):
        return Column(name, tuple(distinct))
    unique = " (an identifier?)" if len(distinct) == len(present) else ""
    raise table.error(
        row,
        name,
        f"{short(cell)} is free text ({len(distinct)} distinct values in {len(present)} rows){unique}; {drop}, add it to"
        f" {typed('dataset.categorical', [name])}, or use dataset=text",
    )


def _date(table: Table, name: str, present: Sequence[tuple[int, str]]) -> Column | None:
    """Return a column of dates; None if it is none."""
    dates = [cell for _, cell in present if not is_no_number(cell)]
    order = find_order(dates, table.form.dates)
    if order == "unclear":
        row, cell = present[0]
        raise table.error(
            row,
            name,
            f"{cell!r} could be day/month or month/day: set dataset.dates=day_first or dataset.dates=month_first",
        )
    if not order:
        return None
    days = [value for cell in dates if (value := read_days(cell, order)) is not None]
    return Column(name, date=order, origin=0.0 if order == "time" else float(min(days)))


def _refuse_lost_numbers(table: Table, name: str, present: Sequence[tuple[int, str]]) -> None:
    """Raise DataError if most cells of a column of texts are numbers, though not in the format that the settings name."""
    texts = [cell for _, cell in present]
    found = guess(texts)
    if 2 * found.numbers > len(texts):
        formats = " or ".join(dict.fromkeys(f"{form}" for form in found.formats[:2] if f"{form}"))
        row, cell = present[0]
        form = f"dataset.decimal={table.form.decimal} and dataset.thousands={table.form.thousands}"
        raise table.error(
            row,
            name,
            f"{short(cell)} is not a number with {form}" + f"; it looks like {formats}" * bool(formats)
            + f". Name it in {typed('dataset.categorical', [name])} if it is not meant to be a number",
        )  # fmt: skip


def select(header: Sequence[str], patterns: Sequence[str]) -> tuple[set[str], list[str]]:
    """Return the columns that names or patterns such as ``gene_*`` match, and those patterns that match none.

    A name that exists is itself, whatever characters it contains.

    >>> select(["age", "gene_1"], ["gene_*", "x"])
    ({'gene_1'}, ['x'])
    """
    exact = set(header)
    found: set[str] = set()
    missing = []
    for pattern in patterns:
        matches = {pattern} if pattern in exact else {name for name in header if fnmatchcase(name, pattern)}
        found |= matches
        if not matches:
            missing.append(pattern)
    return found, missing


def rewritten(table: Table, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return known columns with the formats of numbers in which this file writes them, if the settings name one."""
    if table.form.decimal == table.form.thousands == "auto":
        return tuple(columns)
    formats = find_numeric(table, [column.name for column in columns if not column.categories]).formats
    return tuple(
        replace(column, number=replace(formats[column.name], unit=column.number.unit, scaled=column.number.scaled))
        if column.name in formats
        else column
        for column in columns
    )


def unclear_notes(table: Table, numeric: Numeric) -> list[str]:
    """Return a line for each column whose numbers could also be read otherwise, and the setting that does so."""
    lines = []
    for name in numeric.unclear:
        form = numeric.formats[name]
        cell = next(cell for cell in table.cells(name) if "," in cell or "." in cell)
        mark = "," if "," in cell else "."
        word = "comma" if mark == "," else "point"
        if form.decimal == mark:
            how = f"{mark!r} as the decimal mark; if it marks thousands, set dataset.thousands={word}"
        else:
            how = f"{mark!r} as a thousands mark (dataset.thousands={word}); if it marks decimals, set dataset.decimal={word}"
        lines.append(f"column {name}: {cell!r} is read as {read_number(cell, form):.10g}, with {how}")
    return lines


def impossible_notes(table: Table, columns: Sequence[Column]) -> list[str]:
    """Return a line for each column with dates that no calendar has, such as 30 February."""
    lines = []
    for column in columns:
        if column.date:
            found = [cell for cell in table.cells(column.name) if impossible(cell, column.date)]
            if found:
                lines.append(
                    f"column {column.name}: {len(found)} date{'s do' if len(found) > 1 else ' does'} not exist, the first is"
                    f" {found[0]}; extra days roll over into the next month"
                )
    return lines
