"""Sparse training with connections that move."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from trainctl.components.compress.base import Compress, Constraint, Masks, Moment, Training, kept, largest

SALT = 0x5167  # so that the random connections are not those that another use of the seed draws


def rigl(
    *,
    sparsity: Annotated[float, "[0, 1)"],
    distribution: Literal["erk", "uniform"],
    fraction: Annotated[float, "[0, 1]"],
    end: Annotated[float, "[0, 1]"],
    every_steps: Annotated[int, "[1, inf)"],
) -> Compress:
    r"""Train with a fixed number of connections, and move them: drop by magnitude, grow by gradient.

    Every :math:`\Delta t` steps, each layer with :math:`k` connections drops those :math:`n` of the smallest magnitude
    and grows the same number where the gradient's magnitude is largest:

    .. math:: n = f(t)\, k, \qquad f(t) = \frac{\alpha}{2} \left( 1 + \cos\frac{\pi t}{t_\text{end}} \right)

    New connections start at 0. The first connections are random, a function of the seed, or the weights of the largest
    magnitude where a run starts from sparse weights. Biases, norms, and layers that are frozen at the start are dense.
    Zeros do not speed up dense kernels.

    Args:
        sparsity: Fraction of weights that are 0 [1].
        distribution: ``erk`` gives each layer a density proportional to (sum of its dimensions) / (their product), so that
            small layers are denser; ``uniform`` gives all layers the same, except the first, which stays dense.
        fraction: :math:`\alpha`, fraction of connections that the first update moves [1].
        end: :math:`t_\text{end}` as a fraction of the run's steps, after which connections stay.
        every_steps: :math:`\Delta t` [optimizer steps].

    Source: U. Evci et al., Rigging the lottery: making all tickets winners, ICML 2020, algorithm 1; there, an update
    replaces an optimizer step, here it precedes one. Weights that were just dropped can grow again, and then keep their
    value, as in the authors' code.
    """

    def constrain(model: nn.Module, training: Training) -> Constraint:
        masks = Masks(model, training.frozen)
        shapes = {name: tuple(weight.shape) for name, weight in masks.weights.items()}
        density = erk(shapes, sparsity) if distribution == "erk" else uniform(shapes, sparsity)
        generator = torch.Generator().manual_seed(training.seed ^ SALT)
        for name, mask in masks.masks.items():
            count = kept(mask.numel(), 1 - density[name])
            mask.copy_(first_connections(masks.weights[name].detach(), mask, count, generator))
        masks.clear_weights()
        last = end * training.total_steps

        def between(moment: Moment) -> None:
            due = moment.step > 0 and moment.step % every_steps == 0 and moment.position < last
            if due and _finite(masks):
                for name, weight in masks.weights.items():
                    if weight.grad is not None:
                        count = int(cosine(moment.position, last, fraction) * int(masks.masks[name].count_nonzero()))
                        masks.masks[name].copy_(moved(weight.detach(), weight.grad, masks.masks[name], count))
                masks.clear_weights()
            masks.clear_gradients()

        return Constraint(
            state=masks.masks,
            between=between,
            after=lambda moment: masks.clear_weights(),
            follow=masks.clear,
        )

    return Compress(constrain=constrain, exclusive=True)


def cosine(position: int, last: float, fraction: float) -> float:
    """Return the fraction of connections that an update moves.

    >>> [round(cosine(step, 100, 0.3), 3) for step in (0, 50, 100)]
    [0.3, 0.15, 0.0]
    """
    return fraction / 2 * (1 + math.cos(math.pi * min(1.0, position / last)))


def moved(weight: Tensor, gradient: Tensor, mask: Tensor, count: int) -> Tensor:
    """Return the mask of a layer after ``count`` connections have moved.

    Args:
        weight: The layer's weights.
        gradient: Their gradient, also that of weights which are masked; of the same shape.
        mask: 1 for connections, 0 elsewhere.
        count: The number of connections to drop and to grow.

    >>> moved(torch.tensor([3.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, -2.0]), torch.tensor([1.0, 1, 0, 0]), 1)
    tensor([ True, False, False,  True])
    """
    connected = mask > 0
    strengths = weight[connected].abs()  # the few that are connected
    kept_ones = torch.zeros_like(connected)
    kept_ones[connected] = largest(strengths, len(strengths) - count)
    return kept_ones | largest(gradient.abs().where(~kept_ones, -1.0), count)


def first_connections(weight: Tensor, mask: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return the first mask of a layer: random, or the largest weights if some are already masked."""
    draws = torch.rand(weight.numel(), generator=generator).view(weight.shape).to(weight.device)
    return largest(draws if bool(mask.all()) else weight.abs(), count)


def uniform(shapes: Mapping[str, Sequence[int]], sparsity: float) -> dict[str, float]:
    """Return the density of each layer: equal ones, and 1 for the first layer.

    >>> uniform({"a": (9, 9), "b": (9, 9)}, 0.75)
    {'a': 1.0, 'b': 0.25}
    """
    return {name: 1 - sparsity if index else 1.0 for index, name in enumerate(shapes)}


def erk(shapes: Mapping[str, Sequence[int]], sparsity: float) -> dict[str, float]:
    r"""Return the density of each layer by Erdos-Renyi-Kernel: :math:`\epsilon \sum_d n_d / \prod_d n_d`, at most 1.

    The factor :math:`\epsilon` is the one that gives the whole model its sparsity.

    >>> {name: round(density, 4) for name, density in erk({"a": (10, 10), "b": (10, 30)}, 0.5).items()}
    {'a': 0.6667, 'b': 0.4444}
    >>> erk({"a": (2, 2), "b": (10, 40)}, 0.5)["a"]
    1.0
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    scores = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        left = (1 - sparsity) * sum(sizes.values()) - sum(sizes[name] for name in dense)
        total = sum(scores[name] * sizes[name] for name in shapes if name not in dense)
        factor = left / total if total else 0.0
        full = {name for name in shapes if name not in dense and factor * scores[name] > 1}
        if not full:
            return {name: 1.0 if name in dense else factor * scores[name] for name in shapes}
        dense |= full


def _finite(masks: Masks) -> bool:
    """Return whether all gradients are finite, as their sums tell: with fp16, a step that overflows is skipped."""
    gradients = [weight.grad for weight in masks.weights.values() if weight.grad is not None]
    return all(bool(gradient.sum().isfinite()) for gradient in gradients)
