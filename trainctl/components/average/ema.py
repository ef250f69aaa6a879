"""Exponential moving average of the weights."""

from typing import Annotated

from torch import nn

from trainctl.components.average.base import Average, approach, twin


def ema(*, model: nn.Module, decay: Annotated[float, "[0, 1)"], warm_up: bool) -> Average:
    r"""Evaluate a running mean of the weights, in which older ones fade.

    .. math::
        a_n &= d_n\, a_{n-1} + (1 - d_n)\, w_n \\
        d_n &= d, \quad\text{or with warm-up}\quad \min\left(d, \tfrac{1 + n}{10 + n}\right)

    after optimizer step :math:`n`, from the initial weights on. The statistics of norm layers are averaged too.

    Args:
        model: The model that is trained. Supplied by ``assemble``.
        decay: :math:`d` [1]; the mean reaches about :math:`1 / (1 - d)` steps back.
        warm_up: Whether the decay is smaller at first, so that the initial weights are soon forgotten.

    Source: B. Polyak, A. Juditsky, 1992, for means of iterates; this recursion and its warm-up as in TensorFlow's
    ``ExponentialMovingAverage``.
    """
    averaged = twin(model)

    def update(step: int, count: int) -> int:
        number = count + 1
        approach(averaged, model, 1 - (min(decay, (1 + number) / (10 + number)) if warm_up else decay))
        return number

    return Average(averaged, update)
