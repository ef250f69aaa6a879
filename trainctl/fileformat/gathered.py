"""The columns of a table, which come part by part -> rows of inputs and targets on disk. Imports no torch.

Categories, classes and the first date are known only once all parts were read. So the numbers of the columns are written
first, with a provisional number for each text; then they become inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trainctl.errors import DataError
from trainctl.fileformat.cells import short
from trainctl.fileformat.column_values import Spread, Texts
from trainctl.fileformat.delimited import NUMBER
from trainctl.fileformat.encode import Column
from trainctl.fileformat.label import distinct
from trainctl.fileformat.number import NumberFormat
from trainctl.fileformat.packed import Packed, Packer
from trainctl.fileformat.rows_file import (
    COPIED_BYTES,
    WRITTEN_BYTES,
    RowsFile,
    is_sorted_by_class,
    reordered,
    rows_in_block,
)
from trainctl.fileformat.table import FEW, MOST, OFTEN
from trainctl.fileformat.target import NO_CLASS
from trainctl.wording import listed, typed


@dataclass
class Gathered:
    """The columns of a table, while they come.

    Args:
        path: The file or directory, for messages.
        packer: Where rows are written.
        columns: What the inputs are; categories are found unless they are ``known``.
        texts: The inputs that contain texts, by their names.
        classes: The texts of the target, if it has classes.
        chosen: Inputs that contain categories however many there are.
        known: Whether the columns are those of a finished run.
    """

    path: Path
    packer: Packer
    columns: tuple[Column, ...]
    texts: dict[str, Texts]
    classes: Texts | None = None
    chosen: frozenset[str] = frozenset()
    known: bool = False
    targets: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = self.packer.writer("columns", (len(self.columns),), np.float64, hashes=False)
        self.first = np.full(len(self.columns), np.inf)

    def add(self, values: np.ndarray, targets: np.ndarray) -> None:
        """Add rows: a number for each column ``(N, C)``, and targets ``(N,)`` or ``(N, K)``."""
        self.writer.add(values)
        self.targets.append(targets)
        if len(values):
            self.first = np.fmin(self.first, np.fmin.reduce(values, axis=0))

    def finish(self, class_names: Sequence[str] | None, unknown: str, *, wide: bool = False) -> None:
        """Write inputs and targets, and note as facts what they are.

        Args:
            class_names: The classes of a finished run; None: those of the file.
            unknown: ``error`` if a category that no known column has is one.
            wide: Whether to write float64 in any case.

        Raises:
            DataError: If texts are too many to be categories or classes, or unknown.
        """
        raw = self.writer.close()
        if not len(raw):
            raise DataError(f"{self.path}: has no rows")
        columns = tuple(self._final(index, column) for index, column in enumerate(self.columns))
        places = {
            column.name: self.texts[column.name].places(column.categories) for column in columns if column.categories
        }
        unseen = {
            name: {
                text: texts.counts[text] for text, place in zip(texts.numbers, places[name], strict=True) if place < 0
            }
            for name, texts in self.texts.items()
        }
        if unknown == "error" and (name := next((name for name, found in unseen.items() if found), "")):
            raise DataError(
                f"{self.path}, column {name}: {short(next(iter(unseen[name])))} is not one of the categories in the training"
                " data; dataset.unknown=ignore encodes it as no category"
            )
        names, targets = self._targets(class_names)
        row = sum(len(column.names) for column in columns)
        order = None
        if names and is_sorted_by_class(targets, -(-len(raw) // rows_in_block(row * (8 if wide else 4)))):
            order = np.random.default_rng(0).permutation(len(raw))
            targets = targets[order]
        finite, is_wide = self._write(raw, columns, places, order, wide=wide)
        self.packer.add_targets(targets)
        raw.path.unlink()
        self.packer.facts |= {
            "columns": [plain(column) for column in columns],
            "classes": list(names),
            "finite": finite,
            "wide": is_wide,
            "shuffled": order is not None,
            "unseen": {name: found for name, found in unseen.items() if found},
        }

    def _final(self, index: int, column: Column) -> Column:
        """Return what a column is, now that all of it is known."""
        if column.name in self.texts:
            return column if self.known else replace(column, categories=self._categories(column.name))
        if not np.isfinite(self.first[index]) and not self.known:
            drop = f"drop it with {typed('dataset.drop', [column.name])}"
            raise DataError(f"{self.path}, column {column.name}: has no value in any row; {drop}")
        if column.date and not self.known:
            return replace(column, origin=0.0 if column.date == "time" else float(self.first[index]))
        return column

    def _categories(self, name: str) -> tuple[str, ...]:
        texts = self.texts[name]
        found, rows = distinct(texts.counts), texts.counts.total()
        if name in self.chosen or len(found) <= FEW or (len(found) <= MOST and OFTEN * len(found) <= rows):
            return tuple(found)
        raise DataError(
            f"{self.path}, column {name}: {short(found[0])} is free text ({len(found):,} distinct values in {rows:,} rows);"
            f" drop it with {typed('dataset.drop', [name])}, or add it to {typed('dataset.categorical', [name])}"
        )

    def _targets(self, known: Sequence[str] | None) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the names of the classes, none for values, and the targets of all rows."""
        targets = np.concatenate(self.targets)
        if self.classes is None:
            return (), targets.astype(np.float64)
        texts = self.classes
        found = distinct(texts.counts)
        names = (
            tuple(known) if known else tuple(sorted(found, key=float) if all(map(NUMBER.fullmatch, found)) else found)
        )
        if len(names) < 2:
            raise DataError(
                f"{texts.where}: has only one class ({short(names[0])})" if names else f"{texts.where}: has no value"
            )
        places = texts.places(names)
        if (places < 0).any():
            text = list(texts.numbers)[int((places < 0).argmax())]
            raise DataError(f"{texts.where}: {short(text)} is not one of the run's classes ({listed(names, most=20)})")
        codes = np.full(len(targets), NO_CLASS, dtype=np.int64)
        present = ~np.isnan(targets)
        codes[present] = places[targets[present].astype(np.int64)]
        return names, codes

    def _write(
        self,
        raw: RowsFile,
        columns: Sequence[Column],
        places: Mapping[str, np.ndarray],
        order: np.ndarray | None,
        *,
        wide: bool,
    ) -> tuple[bool, bool]:
        """Write the inputs; return whether all are finite, and whether they are float64."""
        row = sum(len(column.names) for column in columns)
        numbers = [index for index, column in enumerate(columns) if not column.categories]
        origins = np.array(
            [columns[index].origin if columns[index].date not in ("", "time") else 0.0 for index in numbers]
        )
        spread = Spread.of(len(numbers))
        for part in reordered(raw, None):
            spread.add(part[:, numbers] - origins)
        wide = wide or spread.wide
        writer = self.packer.writer("inputs", (row,), np.float64 if wide else np.float32)
        finite = True
        most = COPIED_BYTES if order is None else WRITTEN_BYTES
        for part in reordered(raw, order, max(1, most // (8 * row))):
            encoded = np.concatenate([*_encoded(part, columns, places)], axis=1)
            finite &= bool(np.isfinite(encoded).all())
            writer.add(encoded)
        self.packer.inputs = writer.close()
        return finite, wide


def _encoded(part: np.ndarray, columns: Sequence[Column], places: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the inputs ``(N, n)`` that the numbers of each column become."""
    for index, column in enumerate(columns):
        numbers = part[:, index]
        if not column.categories:
            yield (numbers - column.origin if column.date not in ("", "time") else numbers)[:, None]
            continue
        values = np.zeros((len(part), len(column.categories)))
        present = ~np.isnan(numbers)
        found = places[column.name][numbers[present].astype(np.int64)] if present.any() else np.zeros(0, np.int64)
        rows = np.flatnonzero(present)[found >= 0]
        values[rows, found[found >= 0]] = 1
        values[~present] = np.nan
        yield values


def plain(column: Column) -> dict[str, Any]:
    """Return plain values of a column, as :func:`columns_of` reads them."""
    return vars(column) | {"categories": list(column.categories), "number": vars(column.number)}


def columns_of(found: Packed) -> tuple[Column, ...]:
    """Return the columns of a table that was packed."""
    return tuple(
        Column(**each | {"categories": tuple(each["categories"]), "number": NumberFormat(**each["number"])})
        for each in found.facts["columns"]
    )
