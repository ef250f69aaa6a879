"""Look for what is odd about the columns of a table: identifiers, leaks, two spellings of one text, codes for missing values.

Each function returns notes for the user; none changes anything. Imports no torch.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from trainctl.fileformat.label import meaning
from trainctl.fileformat.table import Column, Table, folded, is_missing
from trainctl.wording import amount, listed, typed

FEWEST = 10  # rows, below which everything looks odd
NAMED_ID = re.compile(
    r"(^|[_\s.-])(id|uuid|guid|key|index|idx|nr|no|number|rownames?)$|[a-z](Id|ID|Key)$|^(id|index)\b", re.IGNORECASE
)
OFTEN = 3  # rows for each distinct value, on average, so that a value with only one class is no accident
CLOSE = 1e-6  # of the largest deviation of the target
MOST_ROWS = 20_000  # that are looked at; of more, every k-th
CODES = (-999.0, -9999.0, -99999.0, -99.0, 999.0, 9999.0, 99999.0, 999999.0, -1e30, 1e30)


def spelling_notes(table: Table, names: Sequence[str]) -> Iterator[str]:
    """Yield a note for each column with texts that differ only in case, spaces or the way accents are written."""
    for name in names:
        groups = defaultdict(set)
        cells = Counter(table.cells(name))
        for cell in cells:
            if not is_missing(cell):
                groups[folded(cell)].add(cell)
        doubles = [sorted(group) for group in groups.values() if len({*map(meaning, group)}) > 1]
        if doubles:
            shown = "; ".join(
                " and ".join(f"{cell!r} ({amount(cells[cell], 'row')})" for cell in group) for group in doubles[:3]
            )
            yield (
                f"column {name}: {shown} differ only in upper and lower case or spaces, but count as different values;"
                " dataset.ignore_case=true makes them one"
            )


def identifier_note(name: str, values: np.ndarray) -> str:
    """Return a note if a column of numbers numbers the rows, or names them; empty if it does not.

    >>> identifier_note("Id", np.arange(20.0))
    'column Id numbers the rows (0, 1, 2, ...): is it an index? It is used as an input; drop it with dataset.drop=[Id]'
    """
    if len(values) < FEWEST or not np.isfinite(values).all() or (values != np.rint(values)).any():
        return ""
    drop = f"It is used as an input; drop it with {typed('dataset.drop', [name])}"
    steps = np.diff(values)
    if values[0] in (0, 1) and (steps == 1).all():
        first = int(values[0])
        return f"column {name} numbers the rows ({first}, {first + 1}, {first + 2}, ...): is it an index? {drop}"
    if NAMED_ID.search(name) and len(np.unique(values)) == len(values):
        return f"column {name} has a different whole number in every row: is it an identifier? {drop}"
    return ""


def counts_rows(table: Table, name: str) -> bool:
    """Return whether the cells of a column are 0, 1, 2, ... or 1, 2, 3, ..."""
    cells = table.cells(name)
    return any(all(cell == str(row) for row, cell in enumerate(cells, first)) for first in (0, 1))


def column_notes(
    columns: Sequence[Column], values: np.ndarray, targets: np.ndarray, class_names: Sequence[str]
) -> Iterator[str]:
    """Yield what is odd about the inputs of a table, a line each.

    Args:
        columns: What each column contains.
        values: Their numbers ``(N, F)``, of all columns in their order.
        targets: Classes ``(N,)``, or values ``(N,)`` of the first target.
        class_names: Empty for values.
    """
    every = max(1, len(values) // MOST_ROWS)
    start = 0
    for column in columns:
        part = values[::every, start : start + len(column.names)]
        start += len(column.names)
        if not column.categories and not column.date:
            found = [identifier_note(column.name, part[:, 0]) if every == 1 else "", code_note(column.name, part[:, 0])]
            yield from filter(None, found)
        if determines(part, targets[::every], classes=bool(class_names)):
            yield (
                f"column {column.name} alone determines the target: if it is not known before the target is, drop it"
                f" with {typed('dataset.drop', [column.name])}"
            )


def code_note(name: str, values: np.ndarray) -> str:
    """Return a note if a column has a number that usually means a missing value, far from all others.

    >>> code_note("t", np.array([20.0, 21.0, 19.0, -999.0, 22.0, -999.0, 20.5, 18.0, 19.0, 20.0]))
    'column t: -999 occurs 2 times, far from all other values: if it means missing, set dataset.missing=[-999]'
    """
    for code in CODES:
        found = int((values == code).sum())
        if not found or len(values) < FEWEST:
            continue
        others = values[np.isfinite(values) & (values != code)]
        if not len(others):
            continue
        low, high = float(others.min()), float(others.max())
        if not low - (high - low) <= code <= high + (high - low):
            return (
                f"column {name}: {code:.10g} occurs {amount(found, 'time')}, far from all other values: if it"
                f" means missing, set dataset.missing=[{code:.10g}]"
            )
    return ""


def determines(values: np.ndarray, targets: np.ndarray, *, classes: bool) -> bool:
    """Return whether a column alone determines the target.

    For classes: each value of the column has one class, and values repeat. For numbers: the target is the column times a
    constant plus another.

    >>> determines(np.arange(30.0)[:, None] % 4, np.arange(30.0) % 2, classes=True)
    True
    """
    known = np.isfinite(targets) & np.isfinite(values).all(1)
    if classes:
        known &= targets >= 0
    if known.sum() < FEWEST:
        return False
    return (_same_classes if classes else _same_values)(values[known], targets[known])


def _same_classes(values: np.ndarray, targets: np.ndarray) -> bool:
    """Return whether each value has one class, and values are few enough to be no accident."""
    keys, group = np.unique(values, axis=0, return_inverse=True)
    if len(keys) < 2 or OFTEN * len(keys) > len(values) or len(np.unique(targets)) < 2:
        return False
    pairs = np.unique(np.stack([group.reshape(-1), targets], 1), axis=0)
    return len(pairs) == len(keys)


def _same_values(values: np.ndarray, targets: np.ndarray) -> bool:
    """Return whether the target is a column times a constant plus another, up to rounding."""
    if values.shape[1] != 1 or values.std() == 0 or targets.std() == 0:
        return False
    x, y = values[:, 0] - values[:, 0].mean(), targets - targets.mean()
    slope = (x @ y) / (x @ x)
    return bool(np.abs(y - slope * x).max() <= CLOSE * np.abs(y).max())


def kinds(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Return lines for the block at the start of a run: which columns are numbers, dates and categories.

    >>> kinds([Column("age"), Column("city", ("Bern", "Ulm"))])
    [('numbers', 'age'), ('categories', 'city (Bern, Ulm)')]
    """
    plain = [_formatted(column) for column in columns if not column.categories and not column.date]
    dates = [f"{column.name} ({'hours since midnight' if column.date == 'time' else 'days since the first'})"
             for column in columns if column.date]  # fmt: skip
    texts = [f"{column.name} ({listed(column.categories, most=4)})" for column in columns if column.categories]
    lines = [("numbers", plain), ("dates", dates), ("categories", texts)]
    return [(label, listed(found)) for label, found in lines if found]


def _formatted(column: Column) -> str:
    example = str(column.number)
    return f"{column.name} (written like {example})" if example else column.name
