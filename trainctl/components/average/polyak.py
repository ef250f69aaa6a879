"""The average of the weights that the optimizer maintains."""

import torch
from torch import nn

from trainctl.components.average.base import Average, approach, twin
from trainctl.errors import ConfigError


def polyak(*, model: nn.Module, optimizer: torch.optim.Optimizer) -> Average:
    r"""Evaluate the running mean of the weights as defined by ``optimizer=asgd``.

    .. math:: a_t = a_{t-1} + \frac{w_t - a_{t-1}}{\max(1, t - 1 - t_0)}

    where :math:`t_0` is asgd's ``start_steps``. It equals the mean in the optimizer's state, except that it is taken
    after the regularizers: the constraints ``max_norm`` and ``weight_clip`` apply to the mean, too. Batch-norm
    statistics are recomputed with the mean before every evaluation, as in ``swa``.

    Args:
        model: The trained model. Supplied by ``assemble``.
        optimizer: Its optimizer. Supplied by ``assemble``.

    Raises:
        ConfigError: If the optimizer does not maintain a mean.

    Source: B. Polyak, A. Juditsky, Acceleration of stochastic approximation by averaging, 1992.
    """
    if not isinstance(optimizer, torch.optim.ASGD):
        raise ConfigError(
            "average=polyak evaluates the mean that optimizer=asgd maintains; with other optimizers use"
            " average=swa average.start_fraction=0 average.every_steps=1"
        )
    averaged, start = twin(model), int(optimizer.param_groups[0]["t0"])

    def update(step: int, count: int) -> int:
        approach(averaged, model, 1 / max(1, step - 1 - start))
        return max(0, step - start)

    return Average(averaged, update, renews_statistics=True)
