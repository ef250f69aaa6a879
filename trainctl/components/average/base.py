"""What every weight averaging returns, and the tensors that it averages."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Average:
    """The model to evaluate and to keep, and how it follows the one that is trained.

    Args:
        model: The model that is evaluated: the trained one itself, or a copy with averaged weights.
        update: ``(step, count) -> count``, called after every optimizer step with the step's number, from 1; the count
            of averaged weights is carried in the train state.
        renews_statistics: Whether batch-norm statistics are measured anew before an evaluation, once weights are
            averaged: to a mean of weights, those of single weights do not belong.
    """

    model: nn.Module
    update: Callable[[int, int], int]
    renews_statistics: bool = False


def twin(model: nn.Module) -> nn.Module:
    """Return a copy of a model that is not trained."""
    return copy.deepcopy(model).requires_grad_(False)


@torch.no_grad()
def approach(follower: nn.Module, model: nn.Module, share: float) -> None:
    r"""Move a copy towards a model: :math:`a \leftarrow a + s\,(w - a)`; counters are copied.

    Args:
        follower: The copy.
        model: The model.
        share: :math:`s`; 1 makes them equal.
    """
    mine, theirs = _tensors(follower), _tensors(model)
    torch._foreach_lerp_(
        [mine[key] for key in mine if mine[key].is_floating_point()],
        [theirs[key] for key in mine if mine[key].is_floating_point()],
        share,
    )
    for key, tensor in mine.items():
        if not tensor.is_floating_point():
            tensor.copy_(theirs[key])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
