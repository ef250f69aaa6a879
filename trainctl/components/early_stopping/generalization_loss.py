"""Stop when the validation error has risen too far above its best."""

import math
from dataclasses import replace
from typing import Annotated

from trainctl.components.early_stopping.base import Rule, Stopping
from trainctl.errors import ConfigError


def generalization_loss(
    *,
    monitor: Annotated[str, "re:val/[a-z0-9_]+"],
    alpha: Annotated[float, "(0, inf)"],
    min_epochs: Annotated[int, "[0, inf)"],
    maximize: bool,
) -> Rule:
    r"""Stop when an error exceeds its minimum so far by more than ``alpha`` percent.

    .. math:: GL(t) = 100 \left(\frac{E(t)}{\min_{t' \le t} E(t')} - 1\right) > \alpha

    NaN is ignored.

    Args:
        monitor: Name of the error, ``val/<name>``: a positive metric that should decrease, such as a loss.
        alpha: :math:`\alpha` [percent].
        min_epochs: Minimum number of epochs to train.
        maximize: Whether larger is better; follows from the metric. Supplied by ``assemble``.

    Raises:
        ConfigError: If larger is better.

    Source: L. Prechelt, Early stopping - but when?, 1998, the criteria :math:`GL_\alpha`, among them :math:`GL_5`.

    >>> rule, state = generalization_loss(monitor="val/loss", alpha=5.0, min_epochs=0, maximize=False), Stopping()
    >>> for value in (1.0, 0.8, 0.83, 0.85):
    ...     state = rule(state, value, 1, 0.0)
    >>> state.best, state.reason
    (0.8, 'val/loss is 6.2 % above its best')
    """
    if maximize:
        raise ConfigError(
            f"early_stopping.monitor={monitor}: generalization_loss needs a metric that decreases; use val/loss"
        )

    def rule(state: Stopping, value: float, epoch: int, seconds: float) -> Stopping:
        if math.isnan(value):
            return state
        best = value if state.best is None else min(value, state.best)
        state = replace(state, best=best)
        if best < 0 or value <= best * (1 + alpha / 100) or epoch < min_epochs:
            return state
        excess = f"{100 * (value / best - 1):.1f} %" if best else "infinitely far"
        return replace(state, stop=True, reason=f"{monitor} is {excess} above its best")

    return rule
