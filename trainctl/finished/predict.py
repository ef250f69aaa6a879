"""Predict from files of inputs, and format the predictions as CSV or JSON lines."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainctl.errors import DataError
from trainctl.fileformat.waiting import waiting
from trainctl.finished.inputs import Keep, Label, batches, expand
from trainctl.finished.open import Finished
from trainctl.finished.predictor import predictor
from trainctl.finished.source import Source
from trainctl.report.table import harmless

Form = Literal["csv", "jsonl"]


@dataclass(frozen=True)
class Options:
    """How rows are predicted, and what is shown with them.

    Args:
        ids: Columns of the files that are copied to the predictions.
        keep: Which further columns are copied: ``ids``, without ``ids=`` those that are called like an identifier;
            ``inputs``, those that the run reads; ``all`` of the file.
        what: ``prediction``, or ``code``: the bottleneck of an autoencoder, or the last hidden layer.
        quantiles: Of what the parts of an ensemble predict, each in [0, 1].
        form: ``csv`` or ``jsonl``, an object per line.
        spreadsheet: Whether names that a spreadsheet would run as a formula get a quote in front. They no longer equal
            those in the data then.
        contents: What is read instead of some of the files, such as standard input.
    """

    ids: Sequence[str] = ()
    keep: Keep = "none"
    what: str = "prediction"
    quantiles: Sequence[float] = ()
    form: Form = "csv"
    spreadsheet: bool = False
    contents: Mapping[Path, bytes] = field(default_factory=dict)


PLAIN = Options()


@dataclass(frozen=True)
class Predictions:
    """What was predicted.

    Args:
        text: A CSV, or JSON lines.
        notes: What the user is to know, a line each.
        failed: The files that cannot be predicted, an error each; the others are in the text.
        files: How many files there were.
    """

    text: str
    notes: tuple[str, ...]
    failed: tuple[DataError, ...]
    files: int


def predict(run: Finished, given: Sequence[Path], which: str, options: Options = PLAIN) -> Predictions:
    """Return the predictions of a run for files, as text.

    One file is predicted or raises an error. Of several files, or of a directory, those that cannot be predicted are left
    out, and a first column says from which file a row is.

    Args:
        run: The run.
        given: Files and directories.
        which: The weights: ``best`` or ``last``.
        options: How, and what is shown.

    Raises:
        DataError: If no file can be read, or none has rows of the shape that the run was trained with.
        CheckpointError: If configuration and weights do not match.
        ConfigError: If the model has no code, or is no ensemble and quantiles are wanted.
    """
    weights = run.weights(which)
    found = predictor(run, weights, what=options.what, quantiles=options.quantiles)
    files, notes = expand(given, run.schema)
    source = Source(
        run, weights.fitted, files, options.ids, several=len(given) > 1 or given[0].is_dir(), notes=notes,
        keep=options.keep, contents=options.contents, taken=frozenset({"file", "row", *found.columns}),
    )  # fmt: skip
    rows: list[tuple[Label, Sequence[str]]] = []
    with waiting("predicting", unit="rows") as wait:
        for labels, portion in batches(source.parts(), run.config.loop.eval_batch_size):
            rows += zip(labels, found.cells(found(portion)), strict=True)
            wait.advance(len(portion))
    source.require_rows()
    names = list(dict.fromkeys(name for label, _ in rows for name in label))
    if options.form == "csv":
        text = as_csv(names, found.columns, rows, spreadsheet=options.spreadsheet)
    else:
        text = "".join(f"{line}\n" for line in as_json_lines(names, found.columns, rows))
    notes += source.coverage.notes(run.schema.input_shape[0])
    return Predictions(text, tuple(notes), tuple(source.failed), len(files))


def as_csv(
    names: Sequence[str], columns: Sequence[str], rows: Iterable[tuple[Label, Sequence[str]]], *, spreadsheet: bool
) -> str:
    """Return rows as CSV: what identifies each, then its predictions."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    guard = harmless if spreadsheet else str
    writer.writerow(map(guard, [*names, *columns]))
    writer.writerows(map(guard, [*(str(label.get(name, "")) for name in names), *cells]) for label, cells in rows)
    return text.getvalue()


def as_json_lines(
    names: Sequence[str], columns: Sequence[str], rows: Sequence[tuple[Label, Sequence[str]]]
) -> Iterator[str]:
    """Yield each row as a JSON object; a kept column is one of numbers if all of its cells are written as JSON writes them."""
    numeric = {name for name in names if all(_is_number(label.get(name, "")) for label, _ in rows)}
    for label, cells in rows:
        kept = {name: as_value(label[name], numeric=name in numeric) for name in names if name in label}
        yield json.dumps(kept | as_values(columns, cells), ensure_ascii=False)


def as_values(columns: Sequence[str], cells: Sequence[str]) -> dict[str, object]:
    """Return the cells of a prediction by their columns: numbers, but for the class; JSON has no NaN, so that is None."""
    return {name: as_value(cell, numeric=name != "prediction") for name, cell in zip(columns, cells, strict=True)}


def as_value(cell: object, *, numeric: bool) -> object:
    """Return a cell as JSON writes it.

    >>> as_value("0.5", numeric=True), as_value("nan", numeric=True), as_value("007", numeric=False)
    (0.5, None, '007')
    """
    if not numeric:
        return cell
    if not isinstance(cell, str):
        return cell
    value = float(cell or "nan")
    if not math.isfinite(value):
        return None
    return int(cell) if cell.lstrip("-").isdecimal() else value


def _is_number(cell: object) -> bool:
    """Return whether a cell is empty, or a number that reads back as it is written; ``007`` is none."""
    if not isinstance(cell, str) or not cell:
        return True
    try:
        return str(int(cell)) == cell if cell.lstrip("-").isdecimal() else repr(float(cell)) == cell
    except ValueError:
        return False
