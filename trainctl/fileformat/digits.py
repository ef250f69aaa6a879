"""Digits that a file has and float64 has not: the notes on columns in which distinct numbers become equal. Imports no torch."""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

import numpy as np

from trainctl.fileformat.table import Column, Table, is_missing

DIGITS = 15  # of a decimal number that float64 always keeps
EXACT = 2**53  # up to here float64 has every whole number


def beyond_float64(table: Table, columns: Sequence[Column]) -> tuple[str, ...]:
    """Return a note on each column of numbers in which distinct cells become equal in float64.

    Only numbers with more than 15 digits can: identifiers, and time stamps in nanoseconds.
    """
    return tuple(_merged(table, [column.name for column in columns if not column.categories]))


def _merged(table: Table, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        cells = {cell for cell in table.cells(name) if len(cell) > DIGITS and not is_missing(cell)}
        try:
            exact = {Decimal(cell) for cell in cells}
        except InvalidOperation:  # not written in the usual way
            continue
        if len(after := set(map(float, exact))) < len(exact):
            yield _note(f"column {name}", len(exact), len(after))


def as_floats(values: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return an array ``(..., F)`` as float32 if that has all its numbers by type, else as float64; and notes.

    >>> as_floats(np.array([[2**60], [2**60 + 1]]), ["column 0"])[1][0][:46]
    'column 0: 2 distinct numbers become 1 in float'
    """
    if values.dtype.kind == "b" or np.can_cast(values.dtype, np.float32):
        return np.ascontiguousarray(values, dtype=np.float32), ()
    with np.errstate(over="ignore"):  # infinite, which cleaning refuses by row and column
        floats = np.ascontiguousarray(values, dtype=np.float64)
    wide = values.dtype.kind in "iu" and bool((np.abs(floats) > EXACT).any())
    if not wide and values.dtype.itemsize <= floats.dtype.itemsize:
        return floats, ()
    notes = []
    for index, name in enumerate(names):
        before, after = (len(np.unique(array[..., index])) for array in (values, floats))
        notes += [_note(name, before, after)] if after < before else []
    return floats, tuple(notes)


def _note(name: str, before: int, after: int) -> str:
    return (
        f"{name}: {before:,} distinct numbers become {after:,} in float64, which keeps {DIGITS} digits: subtract a"
        " constant from them in the file, or drop the column"
    )
