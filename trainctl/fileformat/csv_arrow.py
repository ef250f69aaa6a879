"""Read a part of a CSV file by pyarrow, if it is installed: the same numbers as our own reader, several times as fast.

Whatever pyarrow might read otherwise, or refuses, is left to our own reader, which knows more ways to write a number and
says in which line the trouble is. Imports no torch; pyarrow only where it is used.
"""

import io
import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.arrow_memory import import_arrow
from trainctl.fileformat.cells import MISSING, is_no_number, without_missing
from trainctl.fileformat.column_values import Texts
from trainctl.fileformat.date import read_days
from trainctl.fileformat.delimited import DELIMITERS
from trainctl.fileformat.encode import LARGEST, Column
from trainctl.fileformat.number import MINUS, PLAIN, read_number
from trainctl.fileformat.table_stream import Layout, Part

# Spellings of missing values for pyarrow, which compares exactly. It rejects any other, and our own reader reads the part.
NULLS = sorted({form(word) for word in MISSING for form in (str, str.upper, str.capitalize, str.title)} | {*MINUS})
ODD_QUOTE = (
    r'[^{mark}\n\r"]"[^{mark}\n\r]|[^{mark}\n\r]"[^{mark}\n\r"]'  # neither at the start nor at the end of a cell
)
EXTRA = "\0extra"  # the name of what follows a delimiter at the end of each line


@cache
def arrow() -> Any:
    """Return the module pyarrow.csv; None if it is not installed, or broken."""
    try:
        return import_arrow("pyarrow.csv")
    except Exception:  # noqa: BLE001 - also one that was built for another NumPy
        return None


def read_part(
    layout: Layout, part: Part, columns: Mapping[str, Column], texts: Mapping[str, Texts]
) -> dict[str, np.ndarray] | None:
    """Return the numbers of columns of a part ``(N,)``, by their names; None if our own reader has to read it.

    Args:
        layout: How the file is written.
        part: Its lines.
        columns: What each column contains.
        texts: The columns of texts, which become provisional numbers.
    """
    csv = arrow()
    text = _below(part, layout)
    if csv is None or not text or not _is_plain(text, layout, part):
        return None
    names = layout.header + [EXTRA] * (layout.trailing in ("both", "rows"))
    numeric = {name for name, column in columns.items() if _is_numeric(name, column, texts)}
    kinds = {name: "float64" if name in numeric else "string" for name in columns}
    used = [*columns, *names[len(layout.header) :]]
    try:
        table = _table(csv, text, layout, names, kinds | dict.fromkeys(used[len(columns) :], "string"))
        if EXTRA in used and set(table.column(EXTRA).unique().to_pylist()) - {""}:
            return None
        # All are converted before a text is counted: our own reader counts those of a part that is left to it.
        found = {name: _numbers(table.column(name), layout) for name in numeric}
        others = {
            name: table.column(name).combine_chunks().dictionary_encode() for name in columns if name not in numeric
        }
        words = {name: _words(each, layout) for name, each in others.items()}
        for name, (cells, places, _) in words.items():
            if name not in texts:
                found[name] = np.array([_value(cell, columns[name]) for cell in cells])[places]
        for name, (cells, places, counts) in words.items():
            if name in texts:
                totals: dict[str, int] = {}
                for cell, count in zip(cells, counts.tolist(), strict=True):
                    totals[cell] = totals.get(cell, 0) + count
                known = texts[name].learn(totals)
                found[name] = np.array([known[cell] for cell in cells])[places]
    except DataError:
        raise
    except Exception:  # noqa: BLE001 - whatever pyarrow raises: our own reader says what is wrong
        return None
    return found


def _table(csv: Any, text: str, layout: Layout, names: list[str], kinds: Mapping[str, str]) -> Any:
    """Let pyarrow read the columns that have a kind; its blocks are a quarter of the text, for all its threads."""
    return csv.read_csv(
        io.BytesIO(text.encode()),
        csv.ReadOptions(column_names=names, block_size=max(1 << 20, len(text) // 4)),
        csv.ParseOptions(delimiter=DELIMITERS[layout.form.delimiter], newlines_in_values='"' in text),
        csv.ConvertOptions(
            column_types=kinds,
            null_values=[*NULLS, *(word.strip() for word in layout.form.missing)],
            include_columns=[*kinds],
            strings_can_be_null=False,
        ),
    )


def _below(part: Part, layout: Layout) -> str:
    """Return the text of a part below the header."""
    if part.first > 1:
        return part.text
    lines = io.StringIO(part.text, newline="")
    for _ in range(layout.top[0] - (not layout.form.header)):
        lines.readline()
    return lines.read()


def _is_plain(text: str, layout: Layout, part: Part) -> bool:
    """Return whether a text has nothing that pyarrow might read otherwise: comments, skipped lines, quotes inside cells."""
    form = layout.form
    if form.delimiter == "space":
        return False
    if form.skip:
        last = part.first + text.count("\n") + layout.top[0]
        if any(part.first <= line <= last for line in form.skip):
            return False
    if text.startswith("#") or "\n#" in text:
        return False
    if "\r" in text and text.count("\r") != text.count("\r\n"):  # finding one is many times as fast as counting all
        return False
    mark = re.escape(DELIMITERS[form.delimiter])
    return '"' not in text or re.search(ODD_QUOTE.format(mark=mark), text) is None


def _is_numeric(name: str, column: Column, texts: Mapping[str, Texts]) -> bool:
    return name not in texts and not column.date and column.number == PLAIN


def _numbers(column: Any, layout: Layout) -> np.ndarray:
    """Return the numbers of a column; raise ValueError if our own reader would refuse one."""
    values = numpy_of(column)
    if (np.abs(values) > LARGEST).any():
        raise ValueError
    words = {value for word in layout.form.missing if (value := read_number(word.strip())) is not None}
    if words:
        values = np.where(np.isin(values, [*words]), np.nan, values)
    return values


def numpy_of(column: Any) -> np.ndarray:
    """Return the numbers of a column of pyarrow, NaN where one is missing; its own ``to_numpy`` imports pandas, which takes a second."""
    array = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if array.null_count:
        array = array.cast("float64").fill_null(math.nan)
    return np.from_dlpack(array) if len(array) else np.zeros(0)


def _words(encoded: Any, layout: Layout) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the distinct cells of a column, the place of the cell of each row, and how often each occurs."""
    cells = [cell.strip() for cell in encoded.dictionary.to_pylist()]
    if layout.form.missing:
        cells = [row[0] for row in without_missing([[cell] for cell in cells], layout.form.missing)]
    places = numpy_of(encoded.indices)
    return cells, places, np.bincount(places, minlength=len(cells))


def _value(cell: str, column: Column) -> float:
    """Return the number or the days that a cell means; raise ValueError if it means none."""
    if column.date:
        days = np.nan if is_no_number(cell) else read_days(cell, column.date)
        if days is None:
            raise ValueError
        return 24 * days if column.date == "time" else days
    value = read_number(cell, column.number)
    if value is None:
        if is_no_number(cell):
            return np.nan
        raise ValueError
    if abs(value) > LARGEST:
        raise ValueError
    return value
