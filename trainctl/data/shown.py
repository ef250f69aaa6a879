"""Show rows to people: what kind they are, the names of their columns, their values and tokens as text."""

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from trainctl.data.centre import add
from trainctl.data.schema import Schema
from trainctl.fileformat.date import written
from trainctl.fileformat.table import Column

Kind = Literal["table", "series", "image", "text"]


def kind_of(schema: Schema) -> Kind:
    """Return what the rows of a data set are."""
    if schema.vocabulary:
        return "text"
    return "image" if len(schema.input_shape) == 3 else "series" if len(schema.input_shape) == 2 else "table"


def has_columns(schema: Schema) -> bool:
    """Return whether the numbers of a row were derived from the columns of a file."""
    return bool(schema.columns) and sum(len(column.names) for column in schema.columns) == _width(schema)


def _width(schema: Schema) -> int:
    shape = schema.input_shape
    return shape[-1] if len(shape) < 3 else math.prod(shape)  # of a data set of your own, each number is a feature


def column_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the columns of a table or a series, as in the file: a category has one."""
    if has_columns(schema):
        return tuple(column.name for column in schema.columns)
    width = _width(schema)
    return schema.input_names if len(schema.input_names) == width else tuple(f"input_{n}" for n in range(width))


def shown_values(rows: Tensor, schema: Schema) -> list[list[str]]:
    """Return the value of each column of rows of a table ``(N, F)``, cleaned but not scaled, as a text.

    A category is called by its name, and dates are written as dates, although the model reads numbers of days.
    """
    values = add(rows, schema.input_centre).tolist()
    if sum(len(column.names) for column in schema.columns) != rows.shape[-1]:
        return [[f"{value:.4g}" for value in row] for row in values]
    shown = []
    for row in values:
        start, cells = 0, []
        for column in schema.columns:
            own = row[start : start + len(column.names)]
            start += len(own)
            cells.append(_category(own, column.categories) if column.categories else value_text(own[0], column))
        shown.append(cells)
    return shown


def value_text(value: float, column: Column) -> str:
    """Return a number, date or time of day as a text; empty if it is missing.

    >>> value_text(1.5, Column("age")), value_text(31.0, Column("start", date="day_first", origin=737_999.0))
    ('1.5', '2021-08-29')
    >>> value_text(13.5, Column("start", date="time")), value_text(math.nan, Column("age"))
    ('13:30', '')
    """
    if math.isnan(value):
        return ""
    if not column.date:
        return f"{value:.6g}"
    if column.date == "time":
        return written(value / 24).partition(" ")[2] or "00:00"
    return written(column.origin + value)


def _category(numbers: Sequence[float], categories: Sequence[str]) -> str:
    """Return the category that a row has; a category that did not occur in training is encoded as none."""
    largest = max(range(len(numbers)), key=numbers.__getitem__)
    return categories[largest] if numbers[largest] > 0 else "(none of training)"


def words(ids: Sequence[int], vocabulary: Sequence[str]) -> list[str]:
    """Return the tokens of a text, without the padding after its end.

    >>> words([2, 1, 0], ("<pad>", "<unknown>", "good"))
    ['good', '<unknown>']
    """
    end = max((place for place, code in enumerate(ids, 1) if code), default=0)
    return [vocabulary[code] for code in ids[:end]]


def excerpt(ids: Sequence[int], vocabulary: Sequence[str], longest: int) -> str:
    """Return a text, cut after so many characters; tokens of single characters, as of a model of characters, are joined.

    >>> signs = ("<pad>", "<unknown>", "a", " ", "of")
    >>> excerpt([2, 3, 2, 0], signs, 9), excerpt([4, 2, 1], signs, 99), excerpt([2] * 9, signs, 5)
    ('a a', 'of a <unknown>', 'aaaa…')
    """
    tokens = words(ids, vocabulary)
    single = all(len(token) == 1 for token in tokens if token != vocabulary[1])
    text = ("" if single else " ").join(tokens)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
