"""Stochastic weight averaging."""

import math
from typing import Annotated

from torch import nn

from trainctl.components.average.base import Average, approach, twin


def swa(
    *,
    model: nn.Module,
    start_fraction: Annotated[float, "[0, 1)"],
    every_steps: Annotated[int, "[1, inf)"] | None,
    total_steps: int,
    steps_per_epoch: int,
) -> Average:
    r"""Evaluate the mean of the weights at the ends of the last epochs; until then, the trained weights.

    .. math:: a_n = \frac{n\, a_{n-1} + w}{n + 1}

    Batch-norm statistics are recomputed with the mean before every evaluation, in a pass over the training split
    without augmentation and dropout. A learning rate that stays high suits it: ``schedule=none`` or ``cyclic``. The
    test split still sees the weights of the best evaluation. ``start_fraction`` refers to the planned steps: choose a
    smaller one if ``loop.max_time`` or early stopping may end the run sooner.

    Args:
        model: The trained model. Supplied by ``assemble``.
        start_fraction: Fraction of the run after which weights are averaged [1].
        every_steps: Optimizer steps between two averaged weights; null: once per epoch. The last step always counts.
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.
        steps_per_epoch: Supplied by ``assemble``.

    Source: P. Izmailov et al., Averaging weights leads to wider optima and better generalization, UAI 2018,
    algorithm 1. With ``start_fraction=0`` and ``every_steps=1`` it is Polyak averaging, for any optimizer.
    """
    averaged, start = twin(model), math.floor(start_fraction * total_steps)
    every = every_steps or steps_per_epoch

    def update(step: int, count: int) -> int:
        if step <= start:
            approach(averaged, model, 1.0)
            return 0
        if step % every == 0 or step == total_steps:
            approach(averaged, model, 1 / (count + 1))
            return count + 1
        if count == 0:
            approach(averaged, model, 1.0)
        return count

    return Average(averaged, update, renews_statistics=True)
