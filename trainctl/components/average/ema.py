"""Exponential moving average of the weights."""

from typing import Annotated

from torch import nn

from trainctl.components.average.base import Average, approach, twin


def ema(*, model: nn.Module, decay: Annotated[float, "[0, 1)"], warm_up: bool) -> Average:
    r"""Evaluate an exponential moving average of the weights.

    .. math::
        a_n &= d_n\, a_{n-1} + (1 - d_n)\, w_n \\
        d_n &= d, \quad\text{or with warm-up}\quad \min\left(d, \tfrac{1 + n}{10 + n}\right)

    after optimizer step :math:`n`, starting from the initial weights, :math:`a_0 = w_0`. (PyTorch's
    ``AveragedModel`` starts from the weights after its first update, :math:`a_1 = w_1`; with warm-up the share of the
    initial weights is 2/11 after the first step, and below 1 % after four.) The statistics of norm layers are averaged
    too.

    Args:
        model: The trained model. Supplied by ``assemble``.
        decay: :math:`d` [1]; the average covers about the last :math:`1 / (1 - d)` steps.
        warm_up: Whether the decay is smaller in the beginning, so that the initial weights lose their influence sooner.

    Source: B. Polyak, A. Juditsky, 1992, for averaging of iterates; this recursion and its warm-up are those of
    TensorFlow's ``ExponentialMovingAverage``.
    """
    averaged = twin(model)

    def update(step: int, count: int) -> int:
        number = count + 1
        approach(averaged, model, 1 - (min(decay, (1 + number) / (10 + number)) if warm_up else decay))
        return number

    return Average(averaged, update)
