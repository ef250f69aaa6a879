"""A run as modules that need nothing of it: raw rows in, probabilities or units out; whole, or cut by depth into stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from trainctl.components.loss.base import Task
from trainctl.components.model.base import Chain
from trainctl.components.model.ensemble import Ensemble
from trainctl.data.centre import add
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.errors import ConfigError
from trainctl.finished.int8_layers import rounded_layer

ROWS = "rows"  # name of the input
ANSWERS: dict[Task, tuple[str, ...]] = {
    "classification": ("probabilities",),
    "regression": ("values",),
    "reconstruction": ("reconstruction", "rmse"),
}


@dataclass(frozen=True)
class Stage:
    """A part of a run, or all of it.

    Args:
        module: The module, in evaluation mode on the CPU.
        inputs: Names of its inputs; those of a later stage are names of the outputs of the one before.
        outputs: Names of its outputs.
        example: Its inputs for two rows.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: tuple[Tensor, ...]


class Prepare(nn.Module):
    """Clean and scale raw rows as training did.

    Args:
        fitted: The cleaning and scalings.
        schema: Of the run's data.
        keeps_rows: Whether the scaled rows are needed at the end, too.
    """

    def __init__(self, fitted: Fitted, schema: Schema, *, keeps_rows: bool) -> None:
        super().__init__()
        self.fitted, self.keeps_rows = fitted, keeps_rows
        self.centre = torch.tensor(schema.input_centre, dtype=torch.float64) if schema.input_centre else None

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return scaled rows; of floating-point rows also whether each is valid ``(N,)``; and the scaled rows to keep.

        A row with an infinite value is invalid, and one with a missing value unless missing values are imputed. `predict`
        refuses such rows. A file cannot, and layers such as max pooling would drop NaN, so its outputs are set to NaN.
        """
        if not rows.is_floating_point():
            return self._scaled(rows)
        wrong = rows.isinf() if self.fitted.cleaner.fill is not None else rows.isinf() | rows.isnan()
        values = rows.float() if self.centre is None else (rows - self.centre).float()
        scaled, *kept = self._scaled(self.fitted.cleaner(values))
        return (scaled, ~wrong.flatten(1).any(1), *kept)

    def _scaled(self, values: Tensor) -> tuple[Tensor, ...]:
        scaled = self.fitted.input_scale(values)
        return (scaled, scaled) if self.keeps_rows else (scaled,)


class Answer(nn.Module):
    """Convert a model's outputs to what a user reads: probabilities, or values in their unit.

    Args:
        task: The model's task.
        fitted: The scalings.
        schema: Of the run's data.
    """

    def __init__(self, task: Task, fitted: Fitted, schema: Schema) -> None:
        super().__init__()
        self.task, self.fitted, self.schema = task, fitted, schema

    def forward(self, outputs: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
        """Return the answers, each ``(N, ...)``, in the order of :data:`ANSWERS`; ``kept`` is what :class:`Prepare` adds."""
        reconstructs = self.task == "reconstruction"
        answers = self._answers(outputs, kept[-1] if reconstructs else None)
        if len(kept) == int(reconstructs):
            return answers
        valid = kept[0]
        return tuple(torch.where(valid.view(-1, *[1] * (answer.ndim - 1)), answer, torch.nan) for answer in answers)

    def _answers(self, outputs: Tensor, rows: Tensor | None) -> tuple[Tensor, ...]:
        fitted, schema = self.fitted, self.schema
        if self.task == "classification":
            return (outputs.softmax(1),)
        if self.task == "regression":
            values = fitted.target_scale.inverse(outputs) if fitted.target_scale else outputs
            return (add(values, schema.target_centre),)
        reconstruction = fitted.input_scale.inverse(outputs)
        assert rows is not None
        rmse = (outputs - rows).flatten(1).square().mean(1).sqrt()
        return add(reconstruction, schema.input_centre), rmse


class Cut(nn.Module):
    """Some of the parts of a run, and what passes by them.

    Args:
        prepare: Receives raw rows; only the first stage has it.
        parts: Consecutive parts of the model.
        answer: Returns the answers; only the last stage has it.
        passing: How many of the last inputs pass by the parts.
    """

    def __init__(
        self, prepare: Prepare | None, parts: Sequence[nn.Module], answer: Answer | None, passing: int
    ) -> None:
        super().__init__()
        self.prepare, self.parts, self.answer, self.passing = prepare, Chain(parts), answer, passing

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Return the answers, or what the next stage receives."""
        if self.prepare is not None:
            values = self.prepare(*values)
        count = len(values) - self.passing
        hidden, passing = self.parts(*values[:count]), values[count:]
        if self.answer is not None:
            answers: tuple[Tensor, ...] = self.answer(hidden, *passing)
            return answers
        return (*hidden, *passing) if isinstance(hidden, tuple) else (hidden, *passing)


def stages(
    model: nn.Module,
    task: Task,
    fitted: Fitted,
    schema: Schema,
    dtype: torch.dtype,
    count: int,
    *,
    integers: bool = False,
) -> list[Stage]:
    """Return a run as modules on the CPU, which one after the other compute what it predicts.

    Args:
        model: The model, in evaluation mode; it is changed.
        task: Its task.
        fitted: The cleaning and scalings.
        schema: Of the run's data.
        dtype: Of raw rows.
        count: Number of stages.
        integers: Whether layers of 8 bits get the form that becomes integers in an ONNX file.

    Raises:
        ConfigError: If the model cannot be cut into so many.
    """
    # Zeros, and not rows of the data, because exporters may keep them in their files. Two, because one is a special case.
    rows = torch.zeros(2, *schema.input_shape, dtype=dtype)
    model = exportable(model.cpu().to(memory_format=torch.contiguous_format), integers=integers)
    groups = [[model]] if count == 1 else cut(parts_of(model), count)
    reconstructs = task == "reconstruction"
    passing = int(rows.is_floating_point()) + int(reconstructs)
    prepare, answer = Prepare(fitted, schema, keeps_rows=reconstructs), Answer(task, fitted, schema)
    found: list[Stage] = []
    names: tuple[str, ...] = (ROWS,)
    values: tuple[Tensor, ...] = (rows,)
    for index, group in enumerate(groups):
        last = index == count - 1
        module = Cut(None if index else prepare, group, answer if last else None, passing).eval()
        with torch.no_grad():
            returned = module(*values)
        between = tuple(f"stage_{index + 1}_{number}" for number in range(len(returned)))
        outputs = ANSWERS[task] if last else between
        found.append(Stage(module, names, outputs, values))
        names, values = outputs, returned
    return found


def exportable(module: nn.Module, *, integers: bool = False) -> nn.Module:
    """Return a module in which each part that cannot be exported is replaced: see :class:`Chain`; the module is changed."""
    if callable(convert := getattr(type(module), "exportable", None)):
        module = convert(module)
    module = rounded_layer(module) if integers else module
    for name, child in list(module.named_children()):
        module.add_module(name, exportable(child, integers=integers))
    return module


def parts_of(model: nn.Module) -> list[nn.Module]:
    """Return the parts between which a model can be cut, in their order."""
    if callable(parts := getattr(type(model), "parts", None)):
        found = parts(model)
    elif isinstance(model, nn.Sequential):
        found = list(model)
    else:
        return [model]
    return [inner for part in found for inner in (parts_of(part) if part is not model else [part])]


def cut(parts: Sequence[nn.Module], count: int) -> list[list[nn.Module]]:
    """Return the parts in consecutive groups whose numbers of layers with weights are as equal as possible.

    What has no weights stays with the layer before it.

    Raises:
        ConfigError: If fewer parts than groups have weights.
    """
    groups: list[list[nn.Module]] = []
    for part in parts:
        if groups and (not depth(part) or not any(map(depth, groups[-1]))):
            groups[-1].append(part)
        else:
            groups.append([part])
    if len(groups) < count:
        most = f"can be cut into at most {len(groups)} parts" if len(groups) > 1 else "cannot be cut"
        raise ConfigError(f"stages={count}: this model {most}: {_why_not(groups)}")
    return _balanced(groups, count)


def _why_not(groups: Sequence[list[nn.Module]]) -> str:
    """Return why a model cannot be cut into more parts than these."""
    parts = [part for group in groups for part in group]
    if any(isinstance(part, Ensemble) for part in parts):
        return "the models of an ensemble are not computed one after the other; export each of its runs instead"
    if len(groups) == 1 and sum(map(depth, parts)) > 1:
        return "its layers are in one module, which is neither an nn.Sequential nor has a method parts()"
    return "each part needs a layer with weights, or a block of them"


def _balanced(groups: Sequence[list[nn.Module]], count: int) -> list[list[nn.Module]]:
    """Join neighbouring groups until ``count`` are left; the ends are where the shares of the layers are nearest."""
    depths = [sum(map(depth, group)) for group in groups]
    total, ends = sum(depths), [0]
    for stage in range(1, count):
        allowed = range(ends[-1] + 1, len(groups) - (count - stage) + 1)
        ends.append(min(allowed, key=lambda end: abs(sum(depths[:end]) - total * stage / count)))
    ends.append(len(groups))
    return [[part for group in groups[start:end] for part in group] for start, end in pairwise(ends)]


def depth(part: nn.Module) -> int:
    """Return how many layers with weights a part has; biases and the parameters of norms are no weights."""
    return sum(any(parameter.ndim > 1 for parameter in module.parameters(recurse=False)) for module in part.modules())
