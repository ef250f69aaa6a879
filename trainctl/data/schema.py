"""The schema of a run's data, with which a finished run is evaluated and new rows are predicted."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trainctl.components.dataset.base import Dataset, Encoding, Task
from trainctl.errors import CheckpointError, DataError
from trainctl.fileformat import fingerprints
from trainctl.fileformat.delimited import DELIMITERS
from trainctl.fileformat.number import DECIMALS, PLAIN, THOUSANDS, NumberFormat
from trainctl.fileformat.table import Column
from trainctl.fileformat.tokens import FORMS
from trainctl.wording import amount, listed

TASKS: tuple[Task, ...] = ("classification", "regression")
LEVELS = ("characters", "words")
LARGEST_PIXEL = 1e30  # of an image of numbers, before it is converted to bytes
NAMES = {"class_names": "classes", "input_names": "columns", "target_names": "targets"}
SHAPES = {"input_shape": "row shape", "outputs": "number of outputs", "task": "task"}
CENTRES = ("input_centre", "target_centre")
ADDED = ("vocabulary", "columns", "encoding", *CENTRES)  # added later; old checkpoints may not have them


@dataclass(frozen=True, kw_only=True)
class Schema:
    """The shapes and names of a data set's rows and targets; saved with every checkpoint.

    Args:
        task: Kind of the targets; the task of a model that reconstructs its inputs may differ.
        outputs: How many numbers a model returns for a row.
        input_shape: Shape of a row: ``(C, H, W)``, ``(F,)``, ``(T, F)``, or ``(T,)`` for token ids.
        class_names: One for each class; empty for a regression.
        input_names: One for each column of a table or a sequence; empty for images.
        target_names: One for each column of a regression's targets.
        fingerprint: SHA-256 of all inputs, targets and names [hex]; compared by :func:`fingerprints.differ`.
        vocabulary: The token of each id; empty if inputs are not tokens.
        columns: The columns of the file from which a table was read; empty if it was not read from a file.
        encoding: Further settings that are needed to read such rows from a file.
        input_centre: Number that was subtracted from each column of the inputs, in float64; empty if none was.
        target_centre: The same for each column of the targets; a prediction is the model's output plus this number.
    """

    task: Task
    outputs: int
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    fingerprint: str
    vocabulary: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    encoding: Encoding = field(default_factory=Encoding)
    input_centre: tuple[float, ...] = ()
    target_centre: tuple[float, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the schema of a data set that has been encoded with the vocabulary of the training rows."""
        return cls(
            task=dataset.task,
            outputs=dataset.outputs,
            input_shape=tuple(dataset.inputs.shape[1:]),
            class_names=dataset.class_names,
            input_names=dataset.input_names,
            target_names=dataset.target_names,
            fingerprint=fingerprint(dataset),
            vocabulary=dataset.vocabulary,
            columns=dataset.columns,
            encoding=dataset.encoding,
            input_centre=dataset.input_centre,
            target_centre=dataset.target_centre,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values that :meth:`from_json` reads; empty centres, and None in the encoding, are omitted."""
        plain = {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in READERS}
        encoding = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(self.encoding).items()
            if value is not None
        }
        centres = {key: plain.pop(key) for key in CENTRES}
        used = {key: centre for key, centre in centres.items() if centre}
        columns = [_plain_column(column) for column in self.columns]
        return plain | {"columns": columns, "encoding": encoding} | used

    @classmethod
    def from_json(cls, content: object, source: object) -> Self:
        """Return the schema in a checkpoint; fields that were added later may be missing.

        Args:
            content: The output of :meth:`to_json`, read from a file.
            source: The file, for messages.

        Raises:
            CheckpointError: If a field is missing or has the wrong type; the message names the field.
        """
        if not isinstance(content, Mapping):
            raise CheckpointError(f"{source}: data is missing")
        values: dict[str, Any] = {}
        for name, read in READERS.items():
            if name in content:
                try:
                    values[name] = read(content[name])
                except ValueError as error:
                    raise CheckpointError(f"{source}: data.{name}: expected {error}") from None
            elif name not in ADDED:
                raise CheckpointError(f"{source}: data.{name} is missing")
        schema = cls(**values)
        if schema.task == "classification" and len(schema.class_names) != schema.outputs:
            raise CheckpointError(
                f"{source}: data.class_names: expected {schema.outputs} names, one for each output,"
                f" found {len(schema.class_names)}"
            )
        for name, columns in (("input_centre", schema.input_shape[-1]), ("target_centre", schema.outputs)):
            if len(getattr(schema, name)) not in (0, columns):
                raise CheckpointError(
                    f"{source}: data.{name}: expected {amount(columns, 'number')}, one for each column"
                )
        return schema

    def differences(self, before: "Schema") -> list[str]:
        """Return the differences in names and shapes from the schema of a checkpoint, a line each."""
        lines = []
        for key, word in NAMES.items():
            old, new = getattr(before, key), getattr(self, key)
            if old != new and sorted(old) == sorted(new):
                lines.append(
                    f"the {word} are in a different order: {', '.join(old)} in the checkpoint, {', '.join(new)} in this run"
                )
            elif old != new:
                change = [f"+{name}" for name in new if name not in old] + [
                    f"-{name}" for name in old if name not in new
                ]
                lines.append(f"different {word}: {listed(change, '; ')}")
        for key, word in SHAPES.items():
            old, new = getattr(before, key), getattr(self, key)
            lines += [f"the {word} was {old}, is now {new}"] if old != new else []
        return lines

    def require(self, trained: "Schema", name: str) -> None:
        """Check that a run can be measured on these data.

        Args:
            trained: The schema of the data that the run was trained with.
            name: The data set, for messages.

        Raises:
            DataError: If the shape, the task, or the order of classes or columns differs.
        """
        for key, word in SHAPES.items():
            value, expected = getattr(self, key), getattr(trained, key)
            if value != expected:
                raise DataError(f"dataset={name}: {word} is {value}, but the run was trained with {expected}")
        for key in ("class_names", "input_names"):
            value, expected = getattr(self, key), getattr(trained, key)
            if value != expected and sorted(value) == sorted(expected):
                raise DataError(f"dataset={name}: the {NAMES[key]} are in a different order than in training")


def fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 of a data set's inputs, targets and names [hex]; of inputs on disk, that of the hashes of their blocks."""
    digest = hashlib.sha256()
    for tensor in (dataset.inputs, dataset.targets):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor is dataset.inputs and dataset.stored is not None:
            digest.update(dataset.stored.fingerprint.encode())
        else:
            digest.update(tensor.contiguous().numpy().data)
    digest.update(repr((dataset.class_names, dataset.input_names, dataset.target_names)).encode())
    if dataset.vocabulary:
        digest.update(repr(dataset.vocabulary).encode())
    if dataset.input_centre or dataset.target_centre:
        digest.update(repr((dataset.input_centre, dataset.target_centre)).encode())
    return digest.hexdigest() if dataset.stored is None else fingerprints.BLOCKS + digest.hexdigest()


# One reader per field of the JSON; it raises a ValueError with the expected type.


def _one_of(*allowed: str) -> Callable[[object], Any]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return value

    return read


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("a list of whole numbers")
    return tuple(map(_count, value))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of strings")
    return tuple(value)


def _numbers(value: object) -> tuple[float, ...]:
    numeric = isinstance(value, list) and all(
        type(item) in (int, float) and abs(item) <= sys.float_info.max for item in value
    )
    if not isinstance(value, list) or not numeric:
        raise ValueError("a list of finite numbers")
    return tuple(map(float, value))


def _interval(value: object) -> tuple[float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)
        or not -LARGEST_PIXEL <= value[0] < value[1] <= LARGEST_PIXEL
    ):
        raise ValueError("two numbers, the first below the second")
    return float(value[0]), float(value[1])


def _columns(value: object) -> tuple[Column, ...]:
    if not isinstance(value, list) or not all(isinstance(column, Mapping) for column in value):
        raise ValueError("a list of columns")
    return tuple(map(_column, value))


def _column(value: Mapping[str, Any]) -> Column:
    number = NumberFormat(**{key: read(value[key]) for key, read in NUMBERS.items() if key in value})
    if number.decimal == number.thousands:
        raise ValueError("different marks for decimals and thousands")
    date = _one_of("", *DATES)(value.get("date", ""))
    return Column(
        _text(value.get("name")), _texts(value.get("categories")), number, date, _days(value.get("origin", 0))
    )


def _plain_column(column: Column) -> dict[str, Any]:
    """Return plain values of a column, as :func:`_column` reads them; what is usual is left out."""
    number = {key: value for key, value in vars(column.number).items() if value != getattr(PLAIN, key)}
    date = {"date": column.date, "origin": column.origin} if column.date else {}
    return {"name": column.name, "categories": list(column.categories)} | number | date


def _days(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e7 < value < 1e7:
        raise ValueError("a number of days")
    return float(value)


def _encoding(value: object) -> Encoding:
    if not isinstance(value, Mapping):
        raise ValueError("an object")
    settings: dict[str, Any] = {}
    for key, read in ENCODING.items():
        if value.get(key) is not None:
            try:
                settings[key] = read(value[key])
            except ValueError as error:
                raise ValueError(f"{key} to be {error}") from None
    return Encoding(**settings)


DATES = ("time", "day_first", "month_first")
NUMBERS: dict[str, Callable[[object], Any]] = {
    "decimal": _one_of(*DECIMALS.values()), "thousands": _one_of(*THOUSANDS.values()), "unit": _text, "scaled": _flag,
}  # fmt: skip
ENCODING: dict[str, Callable[[object], Any]] = {
    "delimiter": _one_of(*DELIMITERS), "window": _count, "text": _text, "level": _one_of(*LEVELS), "lowercase": _flag,
    "normalize": _one_of(*FORMS), "whole_files": _flag, "pixel_range": _interval,
    "keep": _one_of("disk"),
}  # fmt: skip
READERS: dict[str, Callable[[object], Any]] = {
    "task": _one_of(*TASKS), "outputs": _count, "input_shape": _counts, "class_names": _texts, "input_names": _texts,
    "target_names": _texts, "fingerprint": _text, "vocabulary": _texts, "columns": _columns, "encoding": _encoding,
    "input_centre": _numbers, "target_centre": _numbers,
}  # fmt: skip
