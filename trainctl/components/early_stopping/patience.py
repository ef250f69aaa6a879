"""Stop when a metric no longer improves."""

import math
from dataclasses import replace
from typing import Annotated

from trainctl.components.early_stopping.base import Rule, Stopping
from trainctl.wording import amount


def patience(
    *,
    monitor: Annotated[str, "re:val/[a-z0-9_]+", "a metric such as val/loss"],
    patience: Annotated[int, "[1, inf)"],
    min_delta: Annotated[float, "[0, inf)"],
    min_epochs: Annotated[int, "[0, inf)"],
    maximize: bool,
) -> Rule:
    """Stop after exactly ``patience`` consecutive evaluations without an improvement.

    NaN is not an improvement and is not counted. No setting is needed to restore the best weights: they are always
    kept, and the test split is always evaluated with them.

    Args:
        monitor: Name of the metric, ``val/<name>``.
        patience: Number of evaluations without improvement after which training stops.
        min_delta: Change above which a value counts as an improvement, in the metric's unit.
        min_epochs: Minimum number of epochs to train.
        maximize: Whether larger is better; follows from the metric. Supplied by ``assemble``.

    Source: L. Prechelt, Early stopping - but when?, 1998, the criterion UP, relative to the best value.

    >>> rule, state = patience(monitor="val/loss", patience=2, min_delta=0.0, min_epochs=0, maximize=False), Stopping()
    >>> for value in (1.0, 0.8, 0.9, 0.8):
    ...     state = rule(state, value, 1, 0.0)
    >>> state
    Stopping(best=0.8, waited=2, limit=2, stop=True, reason='no improvement in 2 evaluations')
    """

    def rule(state: Stopping, value: float, epoch: int, seconds: float) -> Stopping:
        if math.isnan(value):
            return replace(state, limit=patience)
        gain = math.inf if state.best is None else (value - state.best if maximize else state.best - value)
        if gain > min_delta:
            return Stopping(best=value, waited=0, limit=patience)
        waited = state.waited + 1
        stop = waited >= patience and epoch >= min_epochs
        reason = f"no improvement in {amount(waited, 'evaluation')}"
        return Stopping(state.best, waited, patience, stop, reason if stop else "")

    return rule
