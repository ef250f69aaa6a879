"""A run that answers requests: bytes in, predictions out. Knows no HTTP."""

import base64
import binascii
import csv
import io
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainctl.errors import DataError
from trainctl.fileformat.json_text import parse_json
from trainctl.finished.in_memory import notes_of, read_given, records_of
from trainctl.finished.inputs import Inputs, Label
from trainctl.finished.open import Finished
from trainctl.finished.predict import as_value, as_values
from trainctl.finished.predictor import Predictor
from trainctl.finished.source import cleaned, distinct, read_rows
from trainctl.serve.batcher import Batcher, Cells

BODY = "body"  # what a request is called in messages
ENVELOPES = ("rows", "texts", "images")
DEEPEST = 20  # brackets of JSON


class TooManyRowsError(DataError):
    """A request has more rows than one may have."""


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Args:
        rows: Cleaned rows, ready for the model.
        labels: What identifies each.
        notes: What is odd about them, a line each.
    """

    rows: torch.Tensor
    labels: list[Label]
    notes: list[str]


class Service:
    """A run with its model in memory.

    Args:
        run: The run.
        predictor: Its model.
        most_rows: Most rows of a request.
    """

    def __init__(self, run: Finished, predictor: Predictor, most_rows: int) -> None:
        self.run, self.predictor, self.most_rows = run, predictor, most_rows
        self.columns = predictor.columns
        self.taken = frozenset({"row", *self.columns})
        self.batcher = Batcher(self._compute, run.config.loop.eval_batch_size)

    def _compute(self, rows: torch.Tensor) -> Cells:
        return list(self.predictor.cells(self.predictor(rows)))

    def read(self, content: bytes, kind: str, ids: Sequence[str] = ()) -> Asked:
        """Return the rows of a request.

        Args:
            content: The body.
            kind: ``json``, ``csv``, ``text``: a text per line, or ``image``.
            ids: Columns that are copied to the answer.

        Raises:
            DataError: If they cannot be read, or do not have the shape and columns that the run was trained with.
        """
        found = self._json(content, ids) if kind == "json" else self._file(content, ids, is_image=kind == "image")
        if len(found.rows) > self.most_rows:
            raise TooManyRowsError(f"{BODY}: {len(found.rows):,} rows; one request may have at most {self.most_rows:,}")
        numbers = range(len(found.rows)) if found.numbers is None else found.numbers
        names = distinct(found.names, self.taken)
        labels: list[Label] = [
            {"row": number} | (dict(zip(names, found.cells[place], strict=True)) if names else {})
            for place, number in enumerate(numbers)
        ]
        return Asked(found.rows, labels, notes_of(found, self.run.schema))

    def _file(self, content: bytes, ids: Sequence[str], *, is_image: bool) -> Inputs:
        """Read a body as `predict` reads standard input."""
        if not content.strip():
            raise DataError(f"{BODY}: is empty")
        found = read_rows(self.run, Path(BODY), ids, content=content, is_image=is_image)
        rows, lost = cleaned(found.rows, self.predictor.fitted, self.run.schema, Path(BODY))
        return replace(found, rows=rows, notes=(*found.notes, *lost))

    def _json(self, content: bytes, ids: Sequence[str]) -> Inputs:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{BODY}: byte {error.start} is not UTF-8") from error
        given = unwrapped(parse_json(text, BODY, deepest=DEEPEST))
        if isinstance(given, list) and len(given) > self.most_rows:
            raise TooManyRowsError(f"{BODY}: {len(given):,} rows; one request may have at most {self.most_rows:,}")
        found = read_given(self.run, self.predictor.fitted, given, BODY)
        records = records_of(given, BODY) if ids else None
        if records is None or len(records) != len(found.rows):  # windows are no records
            return found
        return replace(found, names=tuple(ids), cells=[[plain(record.get(name)) for name in ids] for record in records])

    def submit(self, asked: Asked) -> "Future[Cells]":
        """Compute the rows of a request as soon as possible."""
        return self.batcher.submit(asked.rows)

    def as_json(self, asked: Asked, cells: Cells) -> dict[str, Any]:
        """Return the answer to a request: an object for each row, with the columns of `predict`."""
        rows = [label | as_values(self.columns, row) for label, row in zip(asked.labels, cells, strict=True)]
        return {"predictions": rows, "notes": asked.notes}

    def as_csv(self, asked: Asked, cells: Cells) -> str:
        """Return the answer to a request as `predict` writes it."""
        names = list(dict.fromkeys(name for label in asked.labels for name in label))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*names, *self.columns])
        writer.writerows([*(label.get(name, "") for name in names), *row]
                         for label, row in zip(asked.labels, cells, strict=True))  # fmt: skip
        return text.getvalue()

    def close(self) -> None:
        """Compute what is waiting, then end."""
        self.batcher.close()


def plain(value: object) -> object:
    """Return a value of a kept column; one with parts is not kept."""
    return None if isinstance(value, list | dict) else as_value(value, numeric=False)


def unwrapped(content: Any) -> Any:
    r"""Return the rows in a JSON body: ``[...]``, a record, columns, or an object with ``rows``, ``texts`` or ``images``.

    Raises:
        DataError: If it is nothing of that, or an image is not base64.

    >>> unwrapped({"rows": [{"x": 1}]}), unwrapped({"x": 1}), unwrapped([1, 2])
    ([{'x': 1}], {'x': 1}, [1, 2])
    >>> unwrapped({"images": ["iVBORw=="]}), unwrapped({"texts": ["a"]})
    ([b'\x89PNG'], ['a'])
    """
    if isinstance(content, dict):
        wrapped = [key for key in ENVELOPES if isinstance(content.get(key), list)]
        if not wrapped:
            return content
        content = [decoded(item) for item in content["images"]] if wrapped == ["images"] else content[wrapped[0]]
    if not isinstance(content, list) or not content:
        raise DataError(f'{BODY}: expected rows, such as [{{"x": 1}}], {{"rows": [...]}}, {{"texts": [...]}} or images')
    return content


def decoded(item: object) -> bytes:
    """Return the bytes of an image in base64, also as a ``data:`` URL.

    Raises:
        DataError: If it is none.
    """
    if not isinstance(item, str):
        raise DataError(f"{BODY}: an image must be a string in base64")
    text = item.partition(";base64,")[2] if item.startswith("data:") else item
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{BODY}: an image is not base64") from error
