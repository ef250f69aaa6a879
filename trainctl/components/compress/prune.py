"""Gradual magnitude pruning."""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from trainctl.components.compress.base import Compress, Constraint, Masks, Moment, Training, kept, nothing, ranked
from trainctl.errors import CheckpointError, ConfigError


def prune(
    *,
    sparsity: Annotated[float, "[0, 1)"],
    scope: Literal["global", "layer"],
    begin: Annotated[float, "[0, 1]"],
    end: Annotated[float, "[0, 1]"],
    every_steps: Annotated[int, "[1, inf)"],
    by_run: Annotated[str, "path"] | None,
) -> Compress:
    r"""Set the weights of the smallest magnitude to 0 during training, more and more of them, and keep them at 0.

    .. math:: s_t = s_f \left( 1 - \left( 1 - \frac{t - t_0}{t_1 - t_0} \right)^3 \right)
        \quad\text{for } t \in \{t_0, t_0 + \Delta t, \dots, t_1\}

    is the fraction of weights that are 0. What is 0 stays 0: in the trained and in the averaged weights, whatever the
    optimizer, weight decay, penalties or projections would do, and in later runs that start from these weights. Pruned
    are all parameters with more than one dimension, so neither biases nor norms, and no layer that is frozen before it
    is thawed. Until the sparsity is reached, no
    evaluation can be the best one or stop the run. Zeros do not speed up dense kernels: they make a model smaller only
    once it is packed.

    Args:
        sparsity: :math:`s_f`, fraction of weights that are 0 in the end [1].
        scope: Whether magnitudes are compared over all layers (``global``), or the fraction holds for each ``layer``.
        begin: :math:`t_0` as a fraction of the run's steps.
        end: :math:`t_1` as a fraction of the run's steps; ``begin`` to prune once.
        every_steps: :math:`\Delta t` [optimizer steps].
        by_run: A run of the same model; the magnitudes of its weights decide which weights are pruned instead of the
            weights themselves, which is a lottery ticket if both runs have the same initial weights. Needs
            ``end=begin``. null for the weights themselves.

    Raises:
        ConfigError: If ``end`` is before ``begin``, or ``by_run`` is used for gradual pruning.

    Source: M. Zhu, S. Gupta, To prune, or not to prune, 2017, equation 1, with :math:`s_i = 0`; S. Han et al., Learning
    both weights and connections for efficient neural networks, 2015 (``end=begin``); J. Frankle, M. Carbin, The lottery
    ticket hypothesis, ICLR 2019 (``by_run``).
    """
    if end < begin:
        raise ConfigError(f"compress.prune.end={end} is before compress.prune.begin={begin}")
    if by_run is not None and end > begin:
        raise ConfigError(
            f"compress.prune.by_run prunes once, because the magnitudes of another run do not change: use"
            f" compress.prune.end={begin}"
        )

    def constrain(model: nn.Module, training: Training) -> Constraint:
        masks, by_layer = Masks(model), scope == "layer"
        last = min(int(end * training.total_steps), training.total_steps - 1)
        first = min(int(begin * training.total_steps), last)
        ranking = _fitting(training.ranking, masks) if by_run is not None else {}

        def before(moment: Moment) -> None:
            position = moment.position
            if position < first or not (moment.step % every_steps == 0 or position in (first, last)):
                return
            if position <= last or not reached(masks, sparsity, by_layer=by_layer):
                now = cubic(position, first, last, sparsity)
                _drop(masks, ranking or masks.weights, now, by_layer=by_layer)

        return Constraint(
            state=masks.masks,
            before=before,
            between=(lambda moment: masks.clear_gradients()) if training.joint else nothing,
            after=lambda moment: masks.clear_weights(),
            follow=masks.clear,
            complete=lambda position: position >= last and reached(masks, sparsity, by_layer=by_layer),
        )

    return Compress(constrain=constrain, exclusive=True)


def cubic(position: int, first: int, last: int, sparsity: float) -> float:
    """Return the sparsity at a position on the schedule.

    >>> [round(cubic(step, 10, 20, 0.8), 3) for step in (10, 15, 20, 99)]
    [0.0, 0.7, 0.8, 0.8]
    >>> cubic(10, 10, 10, 0.8)
    0.8
    """
    if position >= last:
        return sparsity
    return sparsity * (1 - (1 - (position - first) / (last - first)) ** 3)


@torch.no_grad()
def _drop(masks: Masks, by: dict[str, nn.Parameter] | dict[str, Tensor], sparsity: float, *, by_layer: bool) -> None:
    """Mask the weights of the smallest magnitude, and set them to 0."""
    magnitudes = {name: by[name].detach().abs().where(mask > 0, -1.0) for name, mask in masks.thawed().items()}
    if not magnitudes:
        return
    for name, keep in ranked(magnitudes, sparsity, by_layer=by_layer).items():
        masks.masks[name].mul_(keep)
    masks.clear_weights()


def reached(masks: Masks, sparsity: float, *, by_layer: bool) -> bool:
    """Return whether so many of the weights that are not frozen stay 0; waits for the device."""
    sizes = [(mask.numel(), int(mask.count_nonzero())) for mask in masks.thawed().values()]
    if not by_layer and sizes:
        sizes = [(sum(size for size, _ in sizes), sum(left for _, left in sizes))]
    return all(left <= kept(size, sparsity) for size, left in sizes)


def _fitting(ranking: object, masks: Masks) -> dict[str, Tensor]:
    """Return the weights of another run, on this model's device.

    Raises:
        CheckpointError: If its weights have other names or shapes.
    """
    assert isinstance(ranking, dict)
    for name, weight in masks.weights.items():
        if name not in ranking or ranking[name].shape != weight.shape:
            found = f"shape {tuple(ranking[name].shape)}" if name in ranking else "no such weights"
            raise CheckpointError(
                f"compress.prune.by_run: that run has another model: {name} has shape {tuple(weight.shape)} here, and"
                f" {found} there"
            )
    return {name: ranking[name].to(weight.device) for name, weight in masks.weights.items()}
