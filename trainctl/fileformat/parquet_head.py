"""The first rows of a Parquet file as the cells of a table, to recognise what its columns contain. Imports no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainctl.errors import ConfigError, DataError
from trainctl.fileformat.cells import Table, is_missing, is_no_number
from trainctl.fileformat.date import find_order
from trainctl.fileformat.label import distinct
from trainctl.fileformat.parquet import Files, word
from trainctl.fileformat.recognised import Recognised
from trainctl.fileformat.table import FEW, MOST, OFTEN, find_numeric
from trainctl.wording import listed

LOOKED_AT = 5000  # rows


@dataclass(frozen=True)
class Head:
    """The first rows of a Parquet file.

    Args:
        table: Their cells.
        texts: The columns that contain texts.
        others: The columns that contain neither numbers, dates nor texts, and are not in the table.
    """

    table: Table
    texts: tuple[str, ...]
    others: tuple[str, ...]

    def completed(self, found: Recognised, typed: Mapping[str, Any]) -> Recognised:
        """Return what a table with these rows was recognised as, for ``dataset=parquet``, without columns it cannot use.

        Args:
            found: What a CSV file with these rows is.
            typed: The settings that the user has typed.

        Raises:
            ConfigError: If the rows are a series, or the table is one of texts: these are read from CSV only.
        """
        if found.dataset != "csv":
            kind = "a series" if found.dataset == "series" else "texts"
            other = "" if "target" in typed else "; to predict one of its columns from the others, add target=COLUMN"
            raise ConfigError(
                f"{self.table.path}: contains {kind}, and dataset={found.dataset} reads CSV: save the table as CSV{other}"
            )
        target, dropped = found.settings["target"], found.settings.get("drop", [])
        used = set(self.texts) - {*dropped, *([target] if isinstance(target, str) else target or ())}
        written = [name for name in self.texts if name in used and _is_written(self.table, name)]
        reasons = list(found.reasons)
        if self.others:
            reasons.append(f"not used, because they are neither numbers, dates nor texts: {listed(self.others)}")
        if written:
            reasons.append(
                f"not used, because they are texts with numbers or dates, which are read from CSV: {listed(written)}"
            )
        more = [*self.others, *written]
        settings = found.settings | ({"drop": [*dropped, *more]} if more else {})
        return replace(found, dataset="parquet", settings=settings, reasons=tuple(reasons))


def read_head(path: Path) -> Head:
    """Return the first rows.

    Raises:
        DataError: If the file is damaged, or has no rows, or no column that can be read.
        UnavailableError: If pyarrow is not installed.
    """
    files = Files([path], str(path))
    header = [name for name, kind in files.kinds.items() if kind.word != "other"]
    if not header:
        raise DataError(f"{path}: has no column of numbers, texts or dates, only {listed([*files.kinds], most=10)}")
    rows: list[list[str]] = []
    for _, batch in files.batches(header):
        columns = [column.to_pylist() for column in batch.slice(0, LOOKED_AT - len(rows)).columns]
        rows += [[_cell(value) for value in row] for row in zip(*columns, strict=True)]
        if len(rows) >= LOOKED_AT:
            break
    texts = tuple(name for name in header if files.kinds[name].word == "text")
    others = tuple(name for name in files.kinds if name not in header)
    typed = frozenset(header) - frozenset(texts)
    return Head(Table(path, header, rows, list(range(1, len(rows) + 1)), typed=typed), texts, others)


def _cell(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else word(value)


def _is_written(table: Table, name: str) -> bool:
    """Return whether the texts of a column are numbers or dates, of more values than categories have."""
    present = [cell for cell in table.cells(name) if not is_missing(cell)]
    kinds = len(distinct(present))
    if kinds <= FEW or (kinds <= MOST and OFTEN * kinds <= len(present)):
        return False
    return name in find_numeric(table, [name]).formats or bool(
        find_order([cell for cell in present if not is_no_number(cell)])
    )
