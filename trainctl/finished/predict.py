"""Predict from a file of inputs, and format the predictions as CSV."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.data.centre import add
from trainctl.data.schema import Schema
from trainctl.errors import DataError
from trainctl.fileformat.waiting import waiting
from trainctl.finished import code, disagreement
from trainctl.finished.inputs import Label, batches, expand
from trainctl.finished.open import Finished, load_model
from trainctl.finished.source import Source
from trainctl.machine.device import autocast
from trainctl.report.table import harmless


@dataclass(frozen=True)
class Predictions:
    """What was predicted.

    Args:
        text: A CSV.
        notes: What the user is to know, a line each.
        failed: The files that cannot be predicted, an error each; the others are in the text.
        files: How many files there were.
    """

    text: str
    notes: tuple[str, ...]
    failed: tuple[DataError, ...]
    files: int


def predict(
    run: Finished,
    given: Sequence[Path],
    which: str,
    ids: Sequence[str] = (),
    *,
    spreadsheet: bool = False,
    what: str = "prediction",
) -> Predictions:
    """Return the predictions of a run for files, as CSV text.

    One file is predicted or raises an error. Of several files, or of a directory, those that cannot be predicted are left
    out, and a first column says from which file a row is.

    Args:
        run: The run.
        given: Files and directories.
        which: The weights: ``best`` or ``last``.
        ids: Columns of the files that are copied to the predictions.
        spreadsheet: Whether names that a spreadsheet would run as a formula get a quote in front. They no longer equal
            those in the data then.
        what: ``prediction``, or ``code``: the bottleneck of an autoencoder, or the last hidden layer.

    Raises:
        DataError: If no file can be read, or none has rows of the shape that the run was trained with.
        CheckpointError: If configuration and weights do not match.
        ConfigError: If the model has no code.
    """
    weights = run.weights(which)
    files, notes = expand(given, run.schema)
    source = Source(run, weights.fitted, files, ids, several=len(given) > 1 or given[0].is_dir(), notes=notes)
    model, task, device = load_model(run, weights)
    fitted = weights.fitted
    scale, units = fitted.input_scale.to(device), fitted.target_scale.to(device) if fitted.target_scale else None
    encode = code.encoder(model, run.schema, device) if what == "code" else None
    rows: list[tuple[Label, Sequence[str]]] = []
    with waiting("predicting", unit="rows") as wait:
        for labels, portion in batches(source.parts(), run.config.loop.eval_batch_size):
            scaled = scale(portion.to(device))
            with torch.no_grad(), autocast(device, run.config.precision):
                if encode:
                    outputs, differing = encode(scaled), None
                else:
                    outputs, differing = disagreement.outputs_and_disagreement(model, scaled)
            cells = (
                shortest(outputs.float())
                if encode
                else predicted_cells(outputs.float(), task, scaled, units, run.schema)
            )
            if differing is not None:
                more = shortest(disagreement.in_units(differing.float(), task, units))
                cells = (one + other for one, other in zip(cells, more, strict=True))
            rows += zip(labels, cells, strict=True)
            wait.advance(len(portion))
    source.require_rows()
    names = list(dict.fromkeys(name for label, _ in rows for name in label))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    guard = harmless if spreadsheet else str
    predicted = [*columns(task, run.schema), *disagreement.columns(model, task, run.schema)]
    writer.writerow(map(guard, [*names, *(code.names(encode.width) if encode else predicted)]))
    writer.writerows(map(guard, [*(str(label.get(name, "")) for name in names), *cells]) for label, cells in rows)
    notes += source.coverage.notes(run.schema.input_shape[0])
    return Predictions(text.getvalue(), tuple(notes), tuple(source.failed), len(files))


def columns(task: Task, schema: Schema) -> list[str]:
    """Return the names of the output columns after `row`."""
    if task == "classification":
        return ["prediction", *(f"p_{name}" for name in schema.class_names)]
    names, size = schema.target_names, schema.outputs
    if task == "reconstruction":
        names, size = schema.input_names, math.prod(schema.input_shape)
    shown = names if len(names) == size else [f"output_{index}" for index in range(size)]
    return ["rmse", *shown] if task == "reconstruction" else [*shown]


def predicted_cells(
    outputs: Tensor, task: Task, inputs: Tensor, units: Affine | None, schema: Schema
) -> Iterator[list[str]]:
    """Yield the output cells of each row, from a model's outputs for a scaled batch."""
    if task == "classification":
        for best, cells in zip(outputs.argmax(1).tolist(), shortest(outputs.softmax(1)), strict=True):
            yield [schema.class_names[best], *cells]
    elif task == "regression":
        yield from shortest(add(units.inverse(outputs) if units else outputs, schema.target_centre))
    else:
        errors = (outputs - inputs).flatten(1).square().mean(1, keepdim=True).sqrt()
        yield from shortest(torch.cat([errors, outputs.flatten(1)], dim=1))


def shortest(values: Tensor) -> Iterator[list[str]]:
    """Yield the numbers of each row ``(N, K)`` as the shortest text that gives the same float32 or float64 back.

    >>> (
    ...     list(shortest(torch.tensor([[0.1, 2459123.5]]))),
    ...     list(shortest(torch.tensor([[0.1]], dtype=torch.float64) + 1e9)),
    ... )
    ([['0.1', '2.4591235e+06']], [['1000000000.1']])
    """
    for row in values.cpu().numpy():
        yield list(map(str, row))
