"""Rows with named values, such as the evaluations of a run. Imports no torch, and pandas only when asked to."""

import html
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, overload

from trainctl.errors import UnavailableError
from trainctl.wording import amount

SHOWN = 20  # rows in a notebook or on a terminal
WIDEST = 24  # characters of a cell there


class Table(Sequence[dict[str, Any]]):
    """A list of rows, each a dict of named values; not every row has all names.

    Args:
        rows: The rows.

    >>> found = Table([{"step": 1, "val/loss": 0.5}, {"step": 2, "val/loss": 0.25}])
    >>> len(found), found[-1]["val/loss"], found.column("step"), found.columns
    (2, 0.25, [1, 2], ['step', 'val/loss'])
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._own = [dict(row) for row in rows]

    def _all(self) -> list[dict[str, Any]]:
        return self._own

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> "Table": ...
    def __getitem__(self, place: int | slice) -> "dict[str, Any] | Table":
        """Return a row, or the rows of a slice as a table."""
        found = self._all()[place]
        return Table(found) if isinstance(found, list) else found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._all())

    @property
    def columns(self) -> list[str]:
        """The names of the values, in the order in which they occur first."""
        return list(dict.fromkeys(name for row in self._all() for name in row))

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, None in rows without one.

        Raises:
            KeyError: If no row has it.
        """
        if name not in self.columns:
            raise KeyError(f"{name}: no such column (there are: {', '.join(self.columns)})")
        return [row.get(name) for row in self._all()]

    def to_pandas(self) -> Any:
        """Return the table as a ``pandas.DataFrame``.

        Raises:
            UnavailableError: If pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise UnavailableError("to_pandas() needs pandas: pip install pandas") from error
        return pandas.DataFrame(self._all(), columns=self.columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self._all() == other._all()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return the first rows as aligned text."""
        names, cells = self._shown()
        if not cells:
            return f"{type(self).__name__} without rows"
        widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
        lines = [
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in (names, *cells)
        ]
        return "\n".join([*lines, *self._rest()])

    def _repr_html_(self) -> str:
        """Return the first rows for a notebook."""
        names, cells = self._shown()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
        rest = "".join(f"<p>{html.escape(line)}</p>" for line in self._rest())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        names = self.columns
        return names, [[_short(row.get(name)) for name in names] for row in self._all()[:SHOWN]]

    def _rest(self) -> list[str]:
        more = len(self) - SHOWN
        return [f"and {amount(more, 'more row')}"] if more > 0 else []


def _short(value: object) -> str:
    text = "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
