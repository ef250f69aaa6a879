"""Put the rows of a table in order of time, each series for itself. Imports no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.date import find_order
from trainctl.fileformat.encode import days
from trainctl.fileformat.table import Column, Table, find_numeric, impossible_notes, is_missing, is_no_number, numbers
from trainctl.wording import agree, amount, typed

MOSTLY = 0.9  # of the steps go back where a file is newest first
GAP = 1.5  # times the usual step, from which on a step is a gap


@dataclass(frozen=True)
class Sequences:
    """The rows of a table, by series.

    Args:
        groups: Numbers of the rows of each series, in order of time.
        names: Of the series; one empty name if there is only one.
        times: The time of each row ``(N,)``; its number if no column says it.
        notes: What is odd about the order, a line each.
        column: The column that says the times; empty if none does.
        dated: Whether the times are days since 0001-01-01.
    """

    groups: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    times: np.ndarray
    notes: tuple[str, ...] = ()
    column: str = ""
    dated: bool = False


def in_order(table: Table, time: str | None = None, entity: str | None = None) -> Sequences:
    """Return the rows of each series in order of time.

    Args:
        table: The file.
        time: Column of dates or numbers by which rows are ordered; None: they stay in the order of the file, or the
            opposite one if a column of dates runs backwards.
        entity: Column that says to which series a row belongs; None: there is one series.

    Raises:
        DataError: If a cell of these columns is missing or invalid; with its line.
    """
    groups, names = _groups(table, entity)
    name = time or _dates(table, entity)
    if name is None:
        return Sequences(groups, names, np.arange(len(table.rows), dtype=float))
    times = _times(table, name, required=time is not None)
    order = find_order(table.cells(name), table.form.dates)
    notes = impossible_notes(table, [Column(name, date=order)])
    if time:
        groups = tuple(group[np.argsort(times[group], kind="stable")] for group in groups)
    else:
        groups = _oldest_first(table, name, groups, times, notes)
    notes += _irregular(table, name, groups, times, one=entity is None)
    return Sequences(groups, names, times, tuple(notes), name, order not in ("", "time"))


def windows(found: Sequences, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of every window ``(M, length)``, none across two series, and the series of each ``(M,)``."""
    rows, series = [], []
    for number, group in enumerate(found.groups):
        count = len(group) - length + 1
        if count > 0:
            rows.append(np.lib.stride_tricks.sliding_window_view(group, length))
            series.append(np.full(count, number))
    if not rows:
        return np.empty((0, length), np.int64), np.empty(0, np.int64)
    return np.concatenate(rows), np.concatenate(series)


def _groups(table: Table, entity: str | None) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
    if entity is None:
        return (np.arange(len(table.rows)),), ("",)
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(table.cells(entity)):
        if is_missing(cell):
            raise table.error(row, entity, "is missing: to which series does this row belong?")
        rows.setdefault(cell, []).append(row)
    return tuple(map(np.array, rows.values())), tuple(rows)


def _dates(table: Table, entity: str | None) -> str | None:
    """Return the first column that contains dates only; None if there is none."""
    for name in table.header:
        if name != entity and find_order(table.cells(name), table.form.dates) not in ("", "time", "unclear"):
            return name
    return None


def _times(table: Table, name: str, *, required: bool) -> np.ndarray:
    """Return the time of each row ``(N,)``: days, or the numbers of the column."""
    cells = table.cells(name)
    for row, cell in enumerate(cells):
        if is_no_number(cell):
            raise table.error(row, name, "has no time, so the row has no place in the order; drop the row")
    order = find_order(cells, table.form.dates)
    if order == "unclear":
        raise table.error(
            0,
            name,
            f"{cells[0]!r} could be day/month or month/day: set dataset.dates=day_first or dataset.dates=month_first",
        )
    if order:
        return days(table, Column(name, date=order))
    form = find_numeric(table, [name]).formats.get(name)
    if form is None:
        raise table.error(0, name, f"{cells[0]!r} is neither a date nor a number; dataset.time orders rows by those")
    times = numbers(table, name, form)
    assert required or not math.isnan(times[0])
    return times


def _oldest_first(
    table: Table, name: str, groups: tuple[np.ndarray, ...], times: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, ...]:
    """Return the groups, turned round if all run backwards; note what is odd."""
    steps = np.concatenate([np.diff(times[group]) for group in groups])
    if (steps < 0).sum() > MOSTLY * (steps != 0).sum():
        notes.append(
            f"rows are newest first, as column {name} shows: they are read from the oldest to the newest"
            f" ({typed('dataset.time', name)} orders them in any case)"
        )
        groups, steps = tuple(group[::-1] for group in groups), -steps
    if backwards := int((steps < 0).sum()):
        notes.append(
            f"column {name} goes back {amount(backwards, 'time')}: {typed('dataset.time', name)} puts rows in order,"
            " dataset.entity=COLUMN separates several series"
        )
    return groups


def _irregular(table: Table, name: str, groups: Sequence[np.ndarray], times: np.ndarray, *, one: bool) -> list[str]:
    """Return a line for times that occur twice in a series, and one for gaps."""
    notes, doubles, gaps = [], [], []
    steps = np.concatenate([np.diff(times[group]) for group in groups])
    rising = np.round(steps[steps > 0], 9)
    usual = float(np.median(rising)) if len(rising) else math.inf
    for group in groups:
        step = np.diff(times[group])
        doubles += group[1:][step == 0].tolist()
        gaps += group[1:][step > GAP * usual].tolist()
    if doubles:
        hint = "; dataset.entity=COLUMN separates several series" if one else ""
        notes.append(
            f"column {name}: {amount(len(doubles), 'row')} {agree(len(doubles), 'repeats', 'repeat')} a time of the same series,"
            f" the first in line {table.lines[min(doubles)]}{hint}"
        )
    if gaps:
        notes.append(
            f"column {name}: {amount(len(gaps), 'gap')} longer than the usual step of {usual:g}, the first before line"
            f" {table.lines[min(gaps)]}; windows reach across gaps as if there were none"
        )
    return notes


def gap_rows(first: np.ndarray, last: np.ndarray) -> int:
    """Return how many windows before any boundary reach into what follows it.

    Args:
        first: Time of the first target of each window ``(M,)``, rising.
        last: Time of the last target of each window ``(M,)``.

    >>> gap_rows(np.array([1, 2, 3]), np.array([2, 3, 4])), gap_rows(np.array([1, 1, 2]), np.array([1, 1, 2]))
    (1, 1)
    """
    reach = np.searchsorted(np.maximum.accumulate(last), first, side="left")
    return int((np.arange(len(first)) - reach).max(initial=0))


def check_long_enough(table: Table, found: Sequences, needed: int, what: str) -> list[str]:
    """Return a note on series that are too short; raise DataError if all are."""
    short = [name for name, group in zip(found.names, found.groups, strict=True) if len(group) < needed]
    if len(short) == len(found.groups):
        longest = max(map(len, found.groups))
        raise DataError(
            f"{table.path}: has {amount(longest, 'row')}{' in its longest series' if len(short) > 1 else ''}, but {what}"
        )
    if not short:
        return []
    out = f"{len(short)} of {len(found.groups)} series {agree(len(short), 'is', 'are')} too short and left out"
    return [f"{out}, the first is {short[0]!r}; {what}"]
