"""Parquet files -> rows on disk, by pyarrow, batch by batch. Imports no torch; pyarrow only where it is used."""

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainctl.errors import DataError, UnavailableError
from trainctl.fileformat.arrow_memory import import_arrow
from trainctl.fileformat.boundary import reading
from trainctl.fileformat.column_values import Texts
from trainctl.fileformat.csv_arrow import numpy_of
from trainctl.fileformat.csv_rows import Plan
from trainctl.fileformat.encode import LARGEST, Column
from trainctl.fileformat.gathered import Gathered
from trainctl.fileformat.packed import Packer
from trainctl.fileformat.place import check_file, is_directory
from trainctl.fileformat.waiting import waiting
from trainctl.wording import did_you_mean, listed, typed

BATCH_BYTES = 1 << 23  # of numbers in float64 that are read at once
BUFFER = 1 << 16  # bytes of a column that are read at once; by default, it is all of a row group
LOOKED_AT = 100_000  # rows whose targets show whether they are classes
EPOCH = 719162  # days from 0001-01-01 to 1970-01-01
EXACT = 2**53  # up to here float64 has every whole number


def arrow() -> Any:
    """Return the module pyarrow.

    Raises:
        UnavailableError: If it is not installed.
    """
    try:
        import_arrow("pyarrow.parquet")
        return import_arrow("pyarrow")
    except Exception as error:
        raise UnavailableError("dataset=parquet needs pyarrow: pip install 'trainctl[parquet]'") from error


def files_of(path: str, endings: tuple[str, ...] = (".parquet", ".pq")) -> list[Path]:
    """Return the files of a path: itself, those in and below a directory, or those that a pattern matches, sorted.

    Raises:
        DataError: If there are none.
    """
    place = Path(path)
    if is_directory(place):
        found = [file for file in place.rglob("*") if file.suffix.lower() in endings and _visible(file, place)]
        if not found:
            raise DataError(f"{path}: has no {endings[0]} files")
        return sorted(found)
    if not os.path.lexists(path) and set("*?[") & set(path):
        found = [Path(file) for file in sorted(glob.glob(path, recursive=True))]  # noqa: PTH207 - absolute patterns
        if not found:
            raise DataError(f"{path}: matches no file")
        return found
    check_file(place)
    return [place]


def _visible(file: Path, root: Path) -> bool:
    """Return whether no part of a path is hidden; programs write notes to themselves into such files."""
    return not any(part.startswith((".", "_")) for part in file.relative_to(root).parts)


@dataclass(frozen=True)
class Kind:
    """What a column of a Parquet file contains.

    Args:
        word: ``number``, ``text``, ``date`` or ``time``; ``other`` for what cannot be an input.
        typed: The name of its type, for messages.
    """

    word: str
    typed: str


class Files:
    """Parquet files; the columns are those of the first one, and kinds of columns are those of each file.

    Args:
        files: In their order.
        name: What they are called in messages.

    Raises:
        DataError: If a file is damaged.
    """

    def __init__(self, files: Sequence[Path], name: str) -> None:
        self.pa, self.files, self.name = arrow(), list(files), name
        self.of_each = {file: self._kinds(file) for file in self.files}
        self.kinds = self.of_each[self.files[0]]
        self.rows = 0
        for file in self.files:
            with reading(file), self.pa.parquet.ParquetFile(file) as opened:
                self.rows += opened.metadata.num_rows
        if not self.rows:
            raise DataError(f"{name}: has no rows")

    def require(self, column: str) -> str:
        """Return the name of a column that exists.

        Raises:
            DataError: If it does not.
        """
        if column not in self.kinds:
            hint = did_you_mean(column, self.kinds)
            raise DataError(
                f"{self.name}: column {column} is missing{hint} (choose from: {listed([*self.kinds], most=20)})"
            )
        return column

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[Path, Any]]:
        """Yield the rows of all files, some thousands at a time, with the file that has them."""
        size = max(1, BATCH_BYTES // (8 * max(1, len(columns))))
        for file in self.files:
            with reading(file):
                opened = self.pa.parquet.ParquetFile(file, memory_map=False, pre_buffer=False, buffer_size=BUFFER)
            with opened:
                source = opened.iter_batches(size, columns=list(columns))
                while True:
                    with reading(file):
                        batch = next(source, None)
                    if batch is None:
                        break
                    yield file, batch

    def first(self, column: str) -> list[str]:
        """Return what a column says in the first rows, as texts, without missing values."""
        cells: list[str] = []
        for _, batch in self.batches([column]):
            found = batch.column(0)
            cells += [word(value) for value in found.to_pylist() if value is not None and value == value]
            if len(cells) >= LOOKED_AT:
                break
        return cells

    def _kinds(self, file: Path) -> dict[str, Kind]:
        check_file(file)
        with reading(file):
            schema = self.pa.parquet.read_schema(file)
            return {field.name: self._kind(field.type) for field in schema}

    def _kind(self, kind: Any) -> Kind:
        types = self.pa.types
        inner = kind.value_type if types.is_dictionary(kind) else kind
        if types.is_string(inner) or types.is_large_string(inner):
            word = "text"
        elif (
            types.is_boolean(inner)
            or types.is_integer(inner)
            or types.is_floating(inner)
            or types.is_decimal(inner)
            or types.is_null(inner)
        ):
            word = "number"
        elif types.is_date(inner) or types.is_timestamp(inner):
            word = "date"
        else:
            word = "time" if types.is_time(inner) else "other"
        return Kind(word, str(kind))


def word(value: object) -> str:
    """Return a value as a CSV would have it: whole numbers without a decimal point.

    >>> word(3.0), word(True), word("a")
    ('3', 'True', 'a')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def columns(files: Files, inputs: Sequence[str]) -> tuple[tuple[Column, ...], frozenset[str]]:
    """Return what inputs contain, and which of them are texts.

    Raises:
        DataError: If one contains neither numbers, dates nor texts.
    """
    found = []
    for name in inputs:
        kind = files.kinds[name]
        if kind.word == "other":
            raise DataError(
                f"{files.name}: column {name} is {kind.typed}, not numbers, dates or texts; drop it with"
                f" {typed('dataset.drop', [name])}"
            )
        found.append(Column(name, date={"date": "day_first", "time": "time"}.get(kind.word, "")))
    return tuple(found), frozenset(name for name in inputs if files.kinds[name].word == "text")


def convert(packer: Packer, files: Files, plan: Plan) -> None:
    """Write the rows of Parquet files.

    Raises:
        DataError: If a file is damaged, or a value cannot be an input.
    """
    hints = {name: f"; drop it with {typed('dataset.drop', [name])}" for name in plan.texts}
    texts = {name: Texts(f"{files.name}, column {name}", hint) for name, hint in hints.items()}
    target = plan.targets[0].name if plan.classes else ""
    classes = Texts(f"{files.name}, column {target}", "; quantities are predicted with dataset.task=regression")
    gathered = Gathered(
        Path(files.name), packer, plan.columns, texts, classes if plan.classes else None, plan.chosen, plan.known
    )
    names = [column.name for column in plan.columns]
    answers = [column.name for column in plan.targets]
    coders = texts | ({target: classes} if plan.classes else {})
    rounded: dict[str, None] = {}
    try:
        with waiting(f"converting {files.name}", files.rows, "rows") as wait:
            for file, batch in files.batches([*dict.fromkeys([*names, *answers])]):
                numbers = _coded_columns(files, file, batch, coders, rounded)
                rows = len(batch)
                values = np.stack([numbers[name] for name in names], axis=1)
                wanted = [numbers[name] for name in answers]
                gathered.add(
                    values, wanted[0] if plan.classes else np.stack(wanted, axis=1) if wanted else np.zeros((rows, 1))
                )
                wait.advance(rows)
        gathered.finish(plan.class_names, plan.unknown, wide=plan.wide)
    finally:
        gathered.writer.abandon()
    packer.facts["notes"] += [
        f"column {name}: whole numbers beyond 2^53 are rounded to float64, so distinct ones may become equal"
        for name in rounded
    ]


def _coded_columns(
    files: Files, file: Path, batch: Any, coders: Mapping[str, Texts], rounded: dict[str, None]
) -> dict[str, np.ndarray]:
    """Return the numbers of each column of a batch ``(N,)``, and add to ``rounded`` the names of those that lose digits."""
    with reading(file):
        found = {name: batch.column(name) for name in batch.schema.names}
        numbers = {name: _numbers(files, name, column) for name, column in found.items() if name not in coders}
        words = {name: _words(files, column) for name, column in found.items() if name in coders}
    for name, values in numbers.items():
        _check(file, name, values)
        if files.pa.types.is_integer(found[name].type) and (np.abs(values) > EXACT).any():
            rounded[name] = None
    return numbers | {name: _coded(coders[name], cells, places) for name, (cells, places) in words.items()}


def _numbers(files: Files, name: str, column: Any) -> np.ndarray:
    """Return the numbers of a column ``(N,)`` in float64, NaN where one is missing; of dates, the days since 0001-01-01."""
    pa, kind = files.pa, files.kinds[name].word
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == "date":
        micro = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).cast(pa.float64(), safe=False)
        return _float(micro) / 86_400e6 + EPOCH
    if kind == "time":
        unit = {"s": 3600.0, "ms": 3600e3, "us": 3600e6, "ns": 3600e9}[column.type.unit]
        whole = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
        return _float(whole.cast(pa.float64(), safe=False)) / unit
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return _float(column.cast(pa.float64(), safe=False))


def _float(column: Any) -> np.ndarray:
    found: np.ndarray = np.asarray(numpy_of(column), np.float64)
    return found


def _check(file: Path, name: str, values: np.ndarray) -> None:
    """Raise DataError if a number is infinite, or beyond the range of float32."""
    wrong = np.abs(values) > LARGEST
    if wrong.any():
        value = values[wrong.argmax()]
        problem = "is infinite" if np.isinf(value) else f"exceeds the largest number, {LARGEST:.2g}"
        raise DataError(f"{file}, column {name}: {value:g} {problem}")


def _words(files: Files, column: Any) -> tuple[list[str], np.ndarray]:
    """Return the distinct texts of a column, empty for a missing one, and the place of the text of each row."""
    pa = files.pa
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    encoded = column.dictionary_encode(null_encoding="encode")
    cells = ["" if value is None or value != value else word(value).strip() for value in encoded.dictionary.to_pylist()]
    return cells, numpy_of(encoded.indices)


def _coded(texts: Texts, cells: Sequence[str], places: np.ndarray) -> np.ndarray:
    counts: dict[str, int] = {}
    for cell, count in zip(cells, np.bincount(places, minlength=len(cells)).tolist(), strict=True):
        counts[cell] = counts.get(cell, 0) + count
    known = texts.learn(counts)
    codes: np.ndarray = np.array([known[cell] for cell in cells])[places]
    return codes
