"""Measure what a model costs: its size, the time of a forward pass, and what it achieves."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from trainctl.components.compress.int8 import quantised_weights
from trainctl.errors import ToleranceError
from trainctl.machine.device import autocast
from trainctl.run import metric_names
from trainctl.run.run import Evaluation
from trainctl.store import int8
from trainctl.train.evaluation import evaluate

BATCHES = (1, 128)  # rows in a timed forward pass
SECONDS, LEAST, MOST = 0.25, 5, 200  # of timing for each batch size [s]; number of passes
KEPT = "the new run is complete and was kept"


@dataclass(frozen=True)
class Cost:
    """What a model costs and achieves.

    Args:
        parameters: Number of weights and biases.
        nonzero: How many of them are not 0.
        bytes: Size of the model's state as it is stored, buffers included.
        ms_1: Time for a row in a forward pass of 1 row [ms].
        ms_128: Time for a row in a forward pass of 128 rows [ms].
        metric: The metric that the run monitors, such as ``val/accuracy``.
        value: Its value.
        maximize: Whether larger values of it are better; None where an earlier version has not recorded it.
    """

    parameters: int
    nonzero: int
    bytes: int
    ms_1: float
    ms_128: float
    metric: str
    value: float
    maximize: bool | None = None


def measure(evaluation: Evaluation, metric: str, apart: Sequence[nn.Module] = ()) -> Cost:
    """Measure a model on the device on which it is.

    Args:
        evaluation: The model, its data and its loss.
        metric: A metric of the validation split, such as ``val/loss``.
        apart: If it is several models around which more is computed, these: they are timed one by one, on scaled rows.
    """
    model = evaluation.model
    parameters, nonzero = counts(model)
    value = evaluate(evaluation, "val")[metric]
    timed = [replace(evaluation, model=each) for each in apart] or [evaluation]
    alone, together = (sum(milliseconds(each, size) for each in timed) for size in BATCHES)
    return Cost(
        parameters, nonzero, stored_bytes(model), alone, together, metric, value, evaluation.maximizes(metric)
    )  # fmt: skip


def counts(model: nn.Module) -> tuple[int, int]:
    """Return the number of weights and biases, and how many of them are not 0.

    A layer that stores its weights in another form, as integers, has a method ``dense_weights`` that returns them.
    """
    tensors = weights_of(model)
    return sum(tensor.numel() for tensor in tensors), sum(int(tensor.count_nonzero()) for tensor in tensors)


def weights_of(model: nn.Module) -> list[Tensor]:
    """Return the weights and biases of a model, in whatever form its layers store them; shared ones once."""
    tensors: list[Tensor] = list(model.parameters())
    for module in model.modules():
        if callable(dense := getattr(module, "dense_weights", None)):
            tensors += dense()
    return tensors


def zeros(model: nn.Module) -> dict[str, float]:
    """Return the fraction of zeros among the weights of each layer that can be pruned."""
    named = {name: weight for name, weight in model.named_parameters() if weight.ndim > 1}
    return {name: 1 - int(weight.count_nonzero()) / weight.numel() for name, weight in named.items()}


def stored_bytes(model: nn.Module) -> int:
    """Return the size of a model's state as it is stored [bytes]; weights of 8 bits take a byte each."""
    return sum(tensor.nbytes for tensor in int8.encode(model.state_dict(), quantised_weights(model)).values())


@torch.no_grad()
def milliseconds(evaluation: Evaluation, size: int) -> float:
    """Return the time that a row takes in the fastest forward pass of ``size`` rows [ms].

    Not the median: where other processes use the processor, most long passes are interrupted, and few short ones.
    """
    model, device = evaluation.model, evaluation.device
    stored = evaluation.data.splits["val"].sample(size)[0]
    inputs = evaluation.data.input_scale(torch.cat([stored] * math.ceil(size / len(stored)))[:size])
    training = model.training
    model.eval()
    times: list[float] = []
    try:
        with autocast(device, evaluation.precision):
            for _ in range(3):  # kernels are chosen, and memory is allocated
                model(inputs)
            end = time.perf_counter() + SECONDS
            while len(times) < LEAST or (time.perf_counter() < end and len(times) < MOST):
                times.append(_timed(model, inputs, device))
    finally:
        model.train(training)
    return 1000 * min(times) / size


def _timed(model: nn.Module, inputs: Tensor, device: torch.device) -> float:
    begin = time.perf_counter()
    model(inputs)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def as_json(cost: Cost, before: Cost | None = None) -> dict[str, Any]:
    """Return a cost as the entry ``size`` of `summary.json`, with that of the model from which it was made."""
    return {**vars(cost), "before": None if before is None else dict(vars(before))}


def from_json(size: Mapping[str, Any] | None) -> tuple[Cost | None, Cost | None]:
    """Return the costs in an entry ``size``: of the model from which it was made, and of the model; None if it has none."""
    return _cost((size or {}).get("before")), _cost(size)


def _cost(size: Mapping[str, Any] | None) -> Cost | None:
    values = {key: (size or {}).get(key) for key in Cost.__dataclass_fields__}
    complete = None not in (value for key, value in values.items() if key != "maximize")
    return Cost(**values) if complete else None  # type: ignore[arg-type]  # whose types `records` has checked


ROWS = (
    ("parameters", "parameters"), ("not zero", "nonzero"), ("bytes", "bytes"),
    ("ms a row, batch of 1", "ms_1"), ("ms a row, batch of 128", "ms_128"),
)  # fmt: skip


def table(before: Cost, after: Cost) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table of two costs; a factor below 1 is printed as it is.

    The factor says how many times smaller or faster the new model is: before divided by after.
    """
    rows = [
        [label, _shown(old), _shown(new), f"{old / new:.2f}" if new else "-"]
        for label, key in ROWS
        for old, new in [(getattr(before, key), getattr(after, key))]
    ]
    difference = after.value - before.value
    rows.append([after.metric, f"{before.value:.4g}", f"{after.value:.4g}", f"{difference:+.3g}"])
    return ["", "before", "after", "factor"], rows


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _rises(cost: Cost) -> bool:
    """Return whether larger values of the metric are better."""
    return metric_names.maximize(cost.metric) if cost.maximize is None else cost.maximize


def worse_by(before: Cost, after: Cost) -> float:
    """Return by how much the metric is worse than before, in its unit; negative if it is better."""
    difference = before.value - after.value
    return difference if _rises(after) else -difference


def require_tolerable(before: Cost | None, after: Cost | None, tolerance: float | None) -> None:
    """Check that the metric of a new run is not worse by more than the user tolerates; the run is kept in any case.

    Args:
        before: Of the model from which the new one was made; None if it was not measured, because its outputs differ.
        after: Of the new model.
        tolerance: In the unit of the metric; None: any loss is tolerated.

    Raises:
        ToleranceError: If it is, is not a number, or cannot be compared.
    """
    if tolerance is None:
        return
    if not (before and after):
        raise ToleranceError(
            f"tolerance={tolerance:g} cannot be checked: the metric before is not measured, because the"
            f" outputs differ or are reconstructions; {KEPT}"
        )
    loss = worse_by(before, after)
    if not loss <= tolerance:
        raise ToleranceError(
            f"{after.metric} was {before.value:.6g}, is now {after.value:.6g}: worse by {loss:.3g}, more than"
            f" tolerance={tolerance:g}; {KEPT}"
        )


def total(costs: Sequence[Cost]) -> Cost:
    """Return the cost of several models together: sums of sizes and times, and the best value."""
    best = max if _rises(costs[0]) else min
    sums = {key: sum(getattr(cost, key) for cost in costs) for _, key in ROWS}
    return replace(costs[0], **sums, value=best(cost.value for cost in costs))
