"""Compare what an exported file computes with what `predict` says of the same rows: for `export`, not for two runs."""

import csv
import io
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainctl.components.loss.base import Task
from trainctl.data import load
from trainctl.data.rows import Fitted
from trainctl.errors import ConfigError, DataError, ToleranceError
from trainctl.finished.open import Finished
from trainctl.finished.predict import predict
from trainctl.run import assemble, datasets, factory
from trainctl.wording import amount

ROWS = 14  # validation rows that are compared
SIZES = (1, 2, 7)  # how many at a time
# In units of scaled outputs, or of the largest of them if it is above 1. Other orders of summation differ by about 1e-6;
# a layer that is converted wrongly, by 1e-2 and more.
TOLERANCE = 1e-4
# The same of a model that computes with 8 bits: where a value lies between two steps, another order of summation may round
# it to the other one, which is 1/255 of a layer's range.
COARSE = 2e-2

Compute = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Expected:
    """What a run predicts for some raw rows.

    Args:
        rows: The raw rows ``(N, *shape)``.
        answers: The answers by their names, each ``(N, ...)``.
        tolerances: How far each may be off, broadcast to its answers.
    """

    rows: np.ndarray
    answers: dict[str, np.ndarray]
    tolerances: dict[str, np.ndarray]


def validation_rows(run: Finished) -> Tensor:
    """Return at most 14 validation rows of a run's data, evenly spaced, as `predict` reads them: neither cleaned nor scaled.

    Returns:
        Bytes of images, token ids, or numbers with NaN for missing values: float64 if the run's numbers have a centre, else
        float32.

    Raises:
        DataError: If the data cannot be read, or do not match the run's.
    """
    config, name = run.config, run.config.parts["dataset"]["name"]
    assemble.prepare(config)
    dataset = load.read(datasets.reader(config, run.schema), f"dataset={name}", run.schema)
    divided = load.divide(dataset, factory.member(config, "clean"), config.split)
    val = divided.rows["val"]
    rows = divided.dataset.rows(val[torch.linspace(0, len(val) - 1, min(ROWS, len(val))).long()])
    if tuple(rows.shape[1:]) != run.schema.input_shape:
        raise DataError(
            f"dataset={name}: row shape is {tuple(rows.shape[1:])}, but the run was trained with {run.schema.input_shape}"
        )
    if len(run.schema.input_shape) == 3 and rows.dtype != torch.uint8:
        raise ConfigError(
            f"dataset={name}: returns images as {rows.dtype}; predict, and so an exported file, reads images as bytes"
        )
    centre = run.schema.input_centre
    return rows.double() + torch.tensor(centre, dtype=torch.float64) if centre else rows


def expected(run: Finished, which: str, rows: Tensor, task: Task, fitted: Fitted, *, coarse: bool = False) -> Expected:
    """Return what `predict` says of raw rows, in float32.

    Args:
        run: The run.
        which: The weights: ``best`` or ``last``.
        rows: The raw rows.
        task: The model's task.
        fitted: The run's scalings.
        coarse: Whether the model computes with 8 bits, and so may differ by more.
    """
    found = _expected(run, which, rows, task, fitted)
    wider = COARSE / TOLERANCE if coarse else 1.0
    return replace(found, tolerances={name: wider * one for name, one in found.tolerances.items()})


def _expected(run: Finished, which: str, rows: Tensor, task: Task, fitted: Fitted) -> Expected:
    """Return what `predict` says of raw rows, and the tolerances of a model in floating point."""
    plain = replace(run, config=replace(run.config, precision="fp32"))
    with tempfile.TemporaryDirectory(prefix="trainctl-") as folder:
        file = Path(folder) / "rows.npy"
        np.save(file, rows.numpy(), allow_pickle=False)
        text = predict(plain, [file], which).text
    _, *lines = csv.reader(io.StringIO(text))
    if task == "classification":
        return Expected(
            rows.numpy(), *_probabilities(_numbers(lines, 2, run.schema.outputs))
        )  # after row and prediction
    if task == "regression":
        values = _numbers(lines, 1, run.schema.outputs)
        scaled = values - np.array(run.schema.target_centre or 0.0)
        if (scale := fitted.target_scale) is None:
            return Expected(rows.numpy(), {"values": values}, {"values": _tolerance(values, scaled, np.ones(1))})
        factor, offset = scale.factor.double().numpy(), scale.offset.double().numpy()
        return Expected(
            rows.numpy(), {"values": values}, {"values": _tolerance(values, scaled * factor + offset, 1 / factor)}
        )
    error, scaled = _numbers(lines, 1, 1)[:, 0], _numbers(lines, 2, math.prod(run.schema.input_shape))
    scaled = scaled.reshape(rows.shape)
    factor, offset = fitted.input_scale.factor.double().numpy(), fitted.input_scale.offset.double().numpy()
    values = (scaled - offset) / factor + np.array(run.schema.input_centre or 0.0)
    return Expected(
        rows.numpy(),
        {"reconstruction": values, "rmse": error},
        {
            "reconstruction": _tolerance(values, scaled, 1 / factor),
            "rmse": np.array(TOLERANCE * max(1.0, float(error.max()))),
        },
    )


def _numbers(lines: list[list[str]], start: int, size: int) -> np.ndarray:
    return np.array([[float(cell) for cell in line[start : start + size]] for line in lines])


def _probabilities(values: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return probabilities ``(N, K)`` as answers, and their tolerance, which grows with the span of the logits."""
    span = -math.log(max(float(values.min()), 1e-45))
    return {"probabilities": values}, {"probabilities": np.array(TOLERANCE * max(1.0, span / 10))}


def _tolerance(values: np.ndarray, scaled: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the tolerance of values: a fraction of a scaled unit, and the last digits of float32."""
    largest = max(1.0, float(np.abs(scaled).max()))
    digits = 4 * np.spacing(np.abs(values).astype(np.float32)).astype(np.float64)
    tolerance: np.ndarray = TOLERANCE * np.abs(unit) * largest + digits
    return tolerance


def largest_difference(found: Expected, compute: Compute, what: str) -> float:
    """Compare a file with what is expected, 1, 2 and 7 rows at a time, and return the largest difference.

    Args:
        found: What is expected.
        compute: The file: raw rows -> answers by name.
        what: What the file is called, for the message.

    Raises:
        ToleranceError: If an answer is missing, has another shape, or differs by more than is tolerated; names the largest
            difference.
    """
    worst, excess = 0.0, (1.0, "")
    portions = [slice(start, start + size) for size in SIZES for start in range(0, len(found.rows), size)]
    for portion in portions:
        answers = compute(found.rows[portion])
        for name, values in found.answers.items():
            wanted, given = values[portion], answers.get(name)
            if given is None or given.shape != wanted.shape:
                shape = "missing" if given is None else f"of shape {given.shape}, not {wanted.shape},"
                raise ToleranceError(f"{what}: {name} is {shape} for {amount(len(wanted), 'row')}; nothing was written")
            difference = np.abs(given.astype(np.float64) - wanted)
            difference[np.isnan(difference)] = math.inf
            tolerance = np.broadcast_to(found.tolerances[name], values.shape)[portion]
            ratio, at = float((difference / tolerance).max()), int((difference / tolerance).argmax())
            worst = max(worst, float(difference.max()))
            if ratio > excess[0]:
                excess = ratio, f"{name} by {difference.flat[at]:.3g} (tolerated: {tolerance.flat[at]:.3g})"
    if excess[1]:
        raise ToleranceError(f"{what}: differs from predict on validation rows: {excess[1]}; nothing was written")
    return worst
