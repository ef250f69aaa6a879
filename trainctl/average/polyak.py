"""The average that the optimizer keeps."""

import torch
from torch import nn

from trainctl.average.base import Average, approach, twin
from trainctl.errors import ConfigError


def polyak(*, model: nn.Module, optimizer: torch.optim.Optimizer) -> Average:
    """Evaluate the running mean of the weights that the optimizer itself keeps, as asgd does.

    Batch-norm statistics are measured anew with the mean before every evaluation, as for ``swa``.

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
    averaged = twin(model)

    @torch.no_grad()
    def update(step: int, count: int) -> int:
        approach(averaged, model, 1.0)  # norm statistics, and weights that no gradient has reached
        for mine, theirs in zip(averaged.parameters(), model.parameters(), strict=True):
            if theirs in optimizer.state:
                mine.copy_(optimizer.state[theirs]["ax"])
        return count + 1 if step > optimizer.param_groups[0]["t0"] else 0

    return Average(averaged, update, renews_statistics=True)
