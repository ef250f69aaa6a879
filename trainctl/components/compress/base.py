"""The types that every compression returns, and the masks that keep pruned weights at 0."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

Sparsity = "[0, 1)"
SAMPLE = 1024  # values that suggest where a limit is


class Moment(NamedTuple):
    """When something happens in training.

    Args:
        step: Optimizer steps done before the current one.
        position: Position of the current step on the schedule [optimizer steps]: the step, unless ``loop.max_time``
            advances the schedule faster.
    """

    step: int
    position: int


class Training(NamedTuple):
    """What a constraint has to know of a run.

    Args:
        total_steps: Length of the run [optimizer steps].
        seed: The run's seed.
        frozen: The names of the parameters that are frozen in the first step.
        joint: Whether the update of a weight depends on the gradients of others: through clipping by the norm, or in the
            optimizer.
        ranking: The weights of the run that a setting such as ``compress.prune.by_run`` names, by the names of the
            parameters; empty if there is none.
    """

    total_steps: int
    seed: int
    frozen: frozenset[str] = frozenset()
    joint: bool = True
    ranking: Mapping[str, Tensor] = {}


def nothing(moment: Moment) -> None:
    """Change nothing."""


def _always(position: int) -> bool:
    return True


def one_phase(position: int) -> Hashable:
    """Return the same at all positions."""
    return None


@dataclass(frozen=True)
class Constraint:
    """What training does to weights in addition to the optimizer; each part is a function of the step and of ``state``.

    Args:
        state: Tensors that are saved with the run, by name; changed in place only.
        before: Called before the gradient of a step is computed.
        between: Called when the gradients of a step are known, before they are clipped and applied.
        after: Called after the optimizer and the projections of regularizers.
        follow: Called with the averaged model after each update of the average.
        complete: ``position -> bool``, whether the weights are as small as they are meant to become. Earlier evaluations
            cannot be the best, and do not count for early stopping.
        phase: ``position -> value`` that differs whenever the forward pass executes other kernels.
    """

    state: Mapping[str, Tensor] = field(default_factory=dict)
    before: Callable[[Moment], None] = nothing
    between: Callable[[Moment], None] = nothing
    after: Callable[[Moment], None] = nothing
    follow: Callable[[nn.Module], None] | None = None
    complete: Callable[[int], bool] = _always
    phase: Callable[[int], Hashable] = one_phase


def _unconstrained(model: nn.Module, training: Training) -> Constraint:
    return Constraint()


@dataclass(frozen=True)
class Compress:
    """How a model is made smaller.

    Args:
        convert: Changes the layers of a model that was just built, in place, without changing the names of its weights;
            also called when a finished run is evaluated. None to leave them unchanged.
        constrain: ``(model, training) -> Constraint``, called when the model is to be trained.
        exclusive: Whether it decides which weights are 0, which only one member can do.
    """

    convert: Callable[[nn.Module], None] | None = None
    constrain: Callable[[nn.Module, Training], Constraint] = _unconstrained
    exclusive: bool = False


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that can be pruned: trained parameters with more than one dimension, so no biases and norms."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad and weight.ndim > 1}


class Masks:
    """Masks of a model's weights, 1 where a weight is trained and 0 where it stays 0.

    Weights that are 0 at the start stay 0, so a pruned model can be trained or pruned again. A tensor that consists of
    zeros only was initialised so, and is trained.

    Args:
        model: The model to train.
        without: Names of parameters that are not pruned.
    """

    def __init__(self, model: nn.Module, without: frozenset[str] = frozenset()) -> None:
        self.weights = {name: weight for name, weight in prunable(model).items() if name not in without}
        self.masks = {name: _mask(weight.detach()) for name, weight in self.weights.items()}
        # For every step: two lists that are ready, of tensors that autograd does not watch.
        self.pair = [weight.detach() for weight in self.weights.values()], list(self.masks.values())

    def thawed(self) -> dict[str, Tensor]:
        """Return the masks of the layers that are not frozen now."""
        return {name: mask for name, mask in self.masks.items() if self.weights[name].requires_grad}

    def clear_weights(self) -> None:
        """Set masked weights to 0; infinite ones become NaN, which the checks of a run's state notice."""
        if self.masks:
            torch._foreach_mul_(*self.pair)

    @torch.no_grad()
    def clear_gradients(self) -> None:
        """Set the gradients of masked weights to 0, so that they count neither for clipping nor for the optimizer."""
        pairs = [(weight.grad, self.masks[name]) for name, weight in self.weights.items() if weight.grad is not None]
        if pairs:
            torch._foreach_mul_([gradient for gradient, _ in pairs], [mask for _, mask in pairs])

    @torch.no_grad()
    def clear(self, model: nn.Module) -> None:
        """Set the masked weights of another model with the same parameters to 0."""
        named = dict(model.named_parameters())
        if self.masks:
            torch._foreach_mul_([named[name] for name in self.masks], list(self.masks.values()))


def _mask(weight: Tensor) -> Tensor:
    mask = (weight != 0).to(weight.dtype)
    return mask if bool(mask.any()) else torch.ones_like(weight)


def largest(values: Tensor, count: int) -> Tensor:
    """Return where the largest values are: exactly ``count`` of them, the earlier ones of equal values last.

    Args:
        values: Any shape, without NaN.
        count: From 0 to the number of values.

    Returns:
        Booleans of the same shape.

    >>> largest(torch.tensor([3.0, 1.0, 2.0, 2.0]), 2)
    tensor([ True, False, False,  True])
    """
    if count <= 0 or count >= values.numel():
        return torch.full_like(values, count > 0, dtype=torch.bool)
    flat = values.flatten()
    limit = nth_largest(flat, count)
    chosen = flat > limit
    equal = (flat == limit).nonzero().squeeze(1)
    chosen[equal[len(equal) - (count - int(chosen.sum())) :]] = True
    return chosen.view(values.shape)


def nth_largest(values: Tensor, count: int) -> Tensor:
    """Return the ``count``-th largest value, in a fraction of the time that selecting it from all values takes.

    A sample says above which value it probably is; if at least ``count`` values are, the others need not be looked at.

    Args:
        values: One dimension, without NaN.
        count: From 1 to the number of values.
    """
    sample = values[:: max(1, len(values) // SAMPLE)]
    share = count / len(values) * len(sample)
    rank = math.ceil(share + 4 * math.sqrt(share) + 4)  # so that it is too low in about one of 10,000 cases
    if rank < len(sample) // 2:
        upper = values[values >= sample.topk(rank).values[-1]]
        values = upper if len(upper) >= count else values
    return values.kthvalue(len(values) - count + 1).values


def ranked(magnitudes: Mapping[str, Tensor], sparsity: float, *, by_layer: bool) -> dict[str, Tensor]:
    """Return which weights to keep: those of the largest magnitude, of all tensors together or of each one.

    At least one weight is kept.

    Args:
        magnitudes: Of each weight, by the names of their tensors; -1 for weights that are already pruned.
        sparsity: Fraction of the weights to drop.
        by_layer: Whether to drop this fraction of each tensor, instead of all tensors together.

    >>> magnitudes = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[3.0, 4.0]])}
    >>> ranked(magnitudes, 0.5, by_layer=False)["a"], ranked(magnitudes, 0.5, by_layer=True)["a"]
    (tensor([[False, False]]), tensor([[False,  True]]))
    """
    if by_layer:
        return {name: largest(values, kept(values.numel(), sparsity)) for name, values in magnitudes.items()}
    flat = torch.cat([values.flatten() for values in magnitudes.values()])
    whole = largest(flat, kept(flat.numel(), sparsity))
    parts = whole.split([values.numel() for values in magnitudes.values()])
    return {name: part.view(values.shape) for part, (name, values) in zip(parts, magnitudes.items(), strict=True)}


def kept(size: int, sparsity: float) -> int:
    """Return how many of ``size`` weights remain at a sparsity; at least one."""
    return max(1, size - round(sparsity * size))
