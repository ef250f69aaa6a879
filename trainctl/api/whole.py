"""A run as one module: raw rows in, probabilities or values in their units out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from trainctl.components.clean.base import Cleaner
from trainctl.components.loss.base import Task
from trainctl.components.scale.base import Affine
from trainctl.data.rows import Fitted
from trainctl.data.schema import Schema
from trainctl.finished.portable import Answer, Prepare


class Whole(nn.Module):
    """A model with the cleaning and the scalings of its run.

    Args:
        model: The model.
        task: Its task.
        fitted: Cleaning and scalings.
        schema: Of the data that it was trained with.
    """

    def __init__(self, model: nn.Module, task: Task, fitted: Fitted, schema: Schema) -> None:
        super().__init__()
        self.model = model
        self.prepare = Prepare(fitted, schema, keeps_rows=task == "reconstruction")
        self.answer = Answer(task, fitted, schema)

    def forward(self, rows: Tensor) -> Tensor:
        """Return what is predicted for raw rows.

        Args:
            rows: ``(N, *shape)``: numbers with NaN for a missing value, bytes of images, or token ids (int64).

        Returns:
            Probabilities ``(N, K)``, values ``(N, K)`` in their units, or reconstructions in the unit of the rows. A row that
            `trainctl predict` refuses gets NaN.
        """
        scaled, *kept = self.prepare(rows)
        found: Tensor = self.answer(self.model(scaled), *kept)[0]
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move what is no parameter with the parameters: cleaning, scalings and centres stay in their precision."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(fn(tensor).device)

        fitted = _moved(self.prepare.fitted, move)
        self.prepare.fitted = self.answer.fitted = fitted
        self.prepare.centre = None if self.prepare.centre is None else move(self.prepare.centre)
        return self


def _moved(fitted: Fitted, move: Callable[[Tensor], Tensor]) -> Fitted:
    def scaling(affine: Affine) -> Affine:
        return Affine(move(affine.factor), move(affine.offset))

    limits: dict[str, Any] = {
        name: None if value is None else move(value) for name, value in vars(fitted.cleaner).items()
    }
    target = fitted.target_scale
    return replace(
        fitted,
        cleaner=Cleaner(**limits),
        input_scale=scaling(fitted.input_scale),
        target_scale=None if target is None else scaling(target),
    )


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's weights; the CPU if it has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
