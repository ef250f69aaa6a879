"""A CSV file -> rows on disk, part by part, by pyarrow where that gives the same numbers. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trainctl.fileformat.arrow_memory import memory_of_the_system
from trainctl.fileformat.column_values import Texts
from trainctl.fileformat.csv_arrow import arrow, read_part
from trainctl.fileformat.date import find_order
from trainctl.fileformat.encode import Column, days, numbers
from trainctl.fileformat.gathered import Gathered
from trainctl.fileformat.packed import Packer
from trainctl.fileformat.table import Numeric, Table, is_missing, is_no_number
from trainctl.fileformat.table_stream import Layout, cells_of, parts
from trainctl.fileformat.waiting import waiting


@dataclass(frozen=True)
class Plan:
    """What the columns of a file contain, as its first part shows.

    Args:
        columns: The inputs; their categories are not yet known, unless they are those of a finished run.
        texts: The names of those with texts.
        targets: The columns to predict, with the formats of their numbers.
        classes: Whether the target has classes.
        chosen: Inputs with categories however many there are.
        class_names: The classes of a finished run; None: those of the file.
        known: Whether the inputs are those of a finished run.
        unknown: ``error`` if a category that a finished run does not know is an error.
        wide: Whether numbers stay float64, because the run's have a centre.
    """

    columns: tuple[Column, ...]
    texts: frozenset[str]
    targets: tuple[Column, ...]
    classes: bool
    chosen: frozenset[str]
    class_names: tuple[str, ...] | None = None
    known: bool = False
    unknown: str = "ignore"
    wide: bool = False


def convert(packer: Packer, layout: Layout, plan: Plan) -> None:
    """Write the rows of a file.

    Raises:
        DataError: If a cell is not what its column has; with its line.
    """
    path = layout.path
    texts = {name: Texts(f"{path}, column {name}", "; drop it with dataset.drop") for name in plan.texts}
    target = plan.targets[0].name if plan.classes else ""
    hint = "; quantities are predicted with dataset.task=regression"
    classes = Texts(f"{path}, column {target}", hint) if plan.classes else None
    gathered = Gathered(path, packer, plan.columns, texts, classes, plan.chosen, plan.known)
    inputs = {column.name: replace(column, origin=0.0) for column in plan.columns}
    wanted = inputs | {column.name: column for column in plan.targets}
    all_texts = texts | ({target: classes} if classes else {})
    try:
        with (
            memory_of_the_system(installed=arrow() is not None),
            waiting(f"converting {path.name}", unit="rows") as wait,
        ):
            for part in parts(path, layout.form.encoding):
                found = read_part(layout, part, wanted, all_texts)
                if found is None:
                    found = _cells(cells_of(layout, part), wanted, all_texts)
                rows = len(next(iter(found.values())))
                gathered.add(_stacked(found, inputs, rows), _answers(found, plan, rows))
                wait.advance(rows)
        gathered.finish(plan.class_names, plan.unknown, wide=plan.wide)
    finally:
        gathered.writer.abandon()


def _cells(table: Table, wanted: dict[str, Column], texts: dict[str, Texts]) -> dict[str, np.ndarray]:
    """Return the numbers of columns ``(N,)``, by their names, as our own reader reads them."""
    found = {}
    for name, column in wanted.items():
        if name in texts:
            found[name] = texts[name].codes(table.cells(name))
        else:
            found[name] = days(table, column) if column.date else numbers(table, name, column.number)
    return found


def _stacked(found: dict[str, np.ndarray], columns: dict[str, Column], rows: int) -> np.ndarray:
    return np.stack([found[name] for name in columns], axis=1) if columns else np.zeros((rows, 0))


def _answers(found: dict[str, np.ndarray], plan: Plan, rows: int) -> np.ndarray:
    """Return the targets ``(N,)`` of classes, else ``(N, K)``; zeros if there are none."""
    if plan.classes:
        return found[plan.targets[0].name]
    if not plan.targets:
        return np.zeros((rows, 1))
    return np.stack([found[column.name] for column in plan.targets], axis=1)


def without_values(table: Table, names: Sequence[str]) -> list[str]:
    """Return the columns of which a part of a file has no value; they are taken for numbers."""
    return [name for name in names if all(map(is_missing, table.cells(name)))]


def texts_of(table: Table, names: Sequence[str], numeric: Numeric) -> list[str]:
    """Return the columns of a part of a file that contain texts: neither numbers nor dates."""

    def order(name: str) -> str:
        return find_order([cell for cell in table.cells(name) if not is_no_number(cell)], table.form.dates)

    return [name for name in names if name not in numeric.formats and not order(name)]
