"""A run's model, ready for rows: what it predicts, as numbers and as cells of a table."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainctl.components.loss.base import Task
from trainctl.components.model.ensemble import Ensemble, ensemble_in
from trainctl.components.scale.base import Affine
from trainctl.data.centre import add
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import ConfigError
from trainctl.finished import disagreement, embedding
from trainctl.finished.open import Finished, Weights, load_model
from trainctl.machine.device import autocast


@dataclass(frozen=True)
class Answers:
    """What a model says of rows, on the CPU.

    Args:
        best: The class of each row, by its number; empty unless the task is a classification.
        numbers: Probabilities ``(N, K)``, values in their units, a code, or the distance of a reconstruction and the
            reconstruction itself.
        more: What the parts of an ensemble say, each ``(N, L)``: their disagreement, and quantiles; empty for other models.
    """

    best: list[int]
    numbers: Tensor
    more: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Predictor:
    """A model in evaluation mode, with what surrounds it.

    Args:
        model: The model.
        task: Its task.
        device: Its device.
        precision: Of the forward pass.
        schema: Of the data that it was trained with.
        fitted: Cleaning and scalings.
        encode: Computes the code of rows, if that is wanted instead of predictions.
        quantiles: Of what the parts of an ensemble predict, each in [0, 1].
    """

    model: nn.Module
    task: Task
    device: torch.device
    precision: str
    schema: Schema
    fitted: Fitted
    encode: embedding.Encoder | None = None
    quantiles: tuple[float, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The names of the columns of a prediction."""
        if self.encode:
            return embedding.names(self.encode.width)
        own = columns(self.task, self.schema)
        parted = disagreement.columns(self.model, self.task, self.schema)
        return [*own, *parted, *quantile_columns(self.task, self.schema, self.quantiles)]

    def __call__(self, rows: Tensor) -> Answers:
        """Return what the model says of cleaned rows ``(N, *shape)``; in evaluation mode, without gradients."""
        scaled = self.fitted.input_scale.to(self.device)(rows.to(self.device))
        scale = self.fitted.target_scale
        units = scale.to(self.device) if scale else None
        with torch.no_grad(), autocast(self.device, self.precision):
            if self.encode:
                return Answers([], self.encode(scaled).float().cpu())
            averaged = ensemble_in(self.model)
            if averaged is None:
                return answers(self.model(scaled).float(), self.task, scaled, units, self.schema)
            each = averaged.each(scaled)
            found = answers(averaged.mean(each).float(), self.task, scaled, units, self.schema)
            more = [disagreement.in_units(averaged.disagreement(each).float(), self.task, units).cpu()]
            if self.quantiles:
                more.append(part_quantiles(each, averaged, units, self.schema, self.quantiles))
        return Answers(found.best, found.numbers, tuple(more))

    def cells(self, found: Answers) -> Iterator[list[str]]:
        """Yield the cells of each row, as the shortest texts of their numbers."""
        own = shortest(found.numbers)
        if found.best:
            own = _side_by_side(([self.schema.class_names[best]] for best in found.best), own)
        for more in found.more:
            own = _side_by_side(own, shortest(more))
        return own


def _side_by_side(left: Iterable[list[str]], right: Iterable[list[str]]) -> Iterator[list[str]]:
    for one, other in zip(left, right, strict=True):
        yield one + other


def predictor(
    run: Finished, weights: Weights, *, what: str = "prediction", quantiles: Sequence[float] = ()
) -> Predictor:
    """Return what predicts with a run's weights.

    Args:
        run: The run.
        weights: Its weights.
        what: ``prediction``, or ``code``: the bottleneck of an autoencoder, or the last hidden layer.
        quantiles: Of what the parts of an ensemble predict.

    Raises:
        CheckpointError: If configuration and weights do not match.
        ConfigError: If the model has no code, or is no ensemble and quantiles are wanted.
    """
    model, task, device = load_model(run, weights)
    encode = embedding.encoder(model, run.schema, device) if what == "code" else None
    if quantiles and (ensemble_in(model) is None or task == "reconstruction" or encode):
        raise ConfigError(
            "quantiles: only for the predictions of an ensemble of classifiers or regressions; make one of several runs:"
            " trainctl ensemble RUN RUN"
        )
    return Predictor(model, task, device, run.config.precision, run.schema, weights.fitted, encode, tuple(quantiles))


def columns(task: Task, schema: Schema) -> list[str]:
    """Return the names of the output columns after `row`."""
    if task == "classification":
        return ["prediction", *(f"p_{name}" for name in schema.class_names)]
    names, size = schema.target_names, schema.outputs
    if task == "reconstruction":
        names, size = schema.input_names, math.prod(schema.input_shape)
    shown = names if len(names) == size else [f"output_{index}" for index in range(size)]
    return ["rmse", *shown] if task == "reconstruction" else [*shown]


def quantile_columns(task: Task, schema: Schema, quantiles: Sequence[float]) -> list[str]:
    """Return the names of the columns of quantiles: for each output, its name with each quantile."""
    names = columns(task, schema)
    return [f"{name}_q{quantile:g}" for name in names if name != "prediction" for quantile in quantiles]


def answers(outputs: Tensor, task: Task, inputs: Tensor, units: Affine | None, schema: Schema) -> Answers:
    """Return what a model's outputs for a scaled batch mean."""
    if task == "classification":
        return Answers(outputs.argmax(1).tolist(), outputs.softmax(1).cpu())
    if task == "regression":
        return Answers([], add(units.inverse(outputs) if units else outputs, schema.target_centre).cpu())
    errors = (outputs - inputs).flatten(1).square().mean(1, keepdim=True).sqrt()
    return Answers([], torch.cat([errors, outputs.flatten(1)], dim=1).cpu())


def part_quantiles(
    each: Tensor, averaged: Ensemble, units: Affine | None, schema: Schema, quantiles: Sequence[float]
) -> Tensor:
    """Return quantiles of what the parts of an ensemble predict ``(N, K * Q)``: of each output, one after the other.

    Between two parts, they are interpolated linearly.

    Args:
        each: What each part predicts ``(M, N, K)``: logarithms of probabilities, or scaled values.
        averaged: The ensemble.
        units: The scaling of the targets of a regression.
        schema: Of the data.
        quantiles: Each in [0, 1].
    """
    values = each.float().exp() if averaged.task == "classification" else units.inverse(each.float()) if units else each
    wanted = torch.tensor(quantiles, dtype=values.dtype, device=values.device)
    found = torch.quantile(values, wanted, dim=0).permute(1, 2, 0).cpu()  # (N, K, Q)
    if averaged.task != "classification" and schema.target_centre:
        found = found.double() + torch.tensor(schema.target_centre, dtype=torch.float64)[:, None]
    return found.flatten(1)


def shortest(values: Tensor) -> Iterator[list[str]]:
    """Yield the numbers of each row ``(N, K)`` as the shortest text that gives the same float32 or float64 back.

    >>> (
    ...     list(shortest(torch.tensor([[0.1, 1234.5]]))),
    ...     list(shortest(torch.tensor([[0.1]], dtype=torch.float64) + 1e9)),
    ... )
    ([['0.1', '1234.5']], [['1000000000.1']])
    """
    for row in values.cpu().numpy():
        yield list(map(str, row))
