"""The average that the optimizer keeps."""

import torch
from torch import nn

from trainctl.components.average.base import Average, approach, twin
from trainctl.errors import ConfigError


def polyak(*, model: nn.Module, optimizer: torch.optim.Optimizer) -> Average:
    r"""Evaluate the running mean of the weights, as asgd defines it.

    .. math:: a_t = a_{t-1} + \frac{w_t - a_{t-1}}{\max(1, t - 1 - t_0)}

    for asgd's ``start_steps`` :math:`t_0`. That is the mean in the optimizer's state, but of the weights as a
    regularizer leaves them: ``max_norm`` and ``weight_clip`` hold for the mean, too. Batch-norm statistics are
    measured anew with the mean before every evaluation, as for ``swa``.

    Args:
        model: The model that is trained. Supplied by ``assemble``.
        optimizer: Its optimizer. Supplied by ``assemble``.

    Raises:
        ConfigError: If the optimizer keeps no mean.

    Source: B. Polyak, A. Juditsky, Acceleration of stochastic approximation by averaging, 1992.
    """
    if not isinstance(optimizer, torch.optim.ASGD):
        raise ConfigError(
            "average=polyak evaluates the mean that optimizer=asgd keeps; with other optimizers take"
            " average=swa average.start_fraction=0 average.every_steps=1"
        )
    averaged, start = twin(model), int(optimizer.param_groups[0]["t0"])

    def update(step: int, count: int) -> int:
        approach(averaged, model, 1 / max(1, step - 1 - start))
        return max(0, step - start)

    return Average(averaged, update, renews_statistics=True)
