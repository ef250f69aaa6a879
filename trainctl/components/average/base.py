"""The type that every weight averaging returns, and the functions that average."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Average:
    """The model to evaluate and save, and how it follows the trained model.

    Args:
        model: The model that is evaluated: the trained model itself, or a copy with averaged weights.
        update: ``(step, count) -> count``, called after every optimizer step with the step's number, counted from 1;
            the count of averaged weights is part of the train state.
        renews_statistics: Whether batch-norm statistics are recomputed before an evaluation, once weights are
            averaged: the statistics of the individual weights do not apply to their mean.
    """

    model: nn.Module
    update: Callable[[int, int], int]
    renews_statistics: bool = False


def twin(model: nn.Module) -> nn.Module:
    """Return a copy of a model that does not require gradients."""
    return copy.deepcopy(model).requires_grad_(False)


@torch.no_grad()
def approach(averaged: nn.Module, model: nn.Module, weight: float) -> None:
    r"""Move averaged weights towards those of a model: :math:`a \leftarrow a + s\,(w - a)`; counters are copied.

    Args:
        averaged: The copy with averaged weights.
        model: The trained model.
        weight: :math:`s`; 1 makes them equal.
    """
    averages, trained = _tensors(averaged), _tensors(model)
    torch._foreach_lerp_(
        [averages[key] for key in averages if averages[key].is_floating_point()],
        [trained[key] for key in averages if averages[key].is_floating_point()],
        weight,
    )
    for key, tensor in averages.items():
        if not tensor.is_floating_point():
            tensor.copy_(trained[key])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
