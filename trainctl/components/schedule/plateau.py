"""Reduce the learning rate when a metric no longer improves."""

import math
from dataclasses import replace
from typing import Annotated, Literal

from trainctl.components.schedule.base import Fraction, Reaction, Schedule, WarmupSteps, warmed_up


def plateau(
    *,
    warmup_steps: WarmupSteps,
    monitor: Annotated[str, "re:val/[a-z0-9_]+"],
    factor: Annotated[float, "(0, 1)"],
    patience: Annotated[int, "[0, inf)"],
    threshold: Annotated[float, "[0, inf)"],
    threshold_mode: Literal["relative", "absolute"],
    cooldown: Annotated[int, "[0, inf)"],
    final_fraction: Fraction,
    total_steps: int,
    maximize: bool,
) -> Schedule:
    """Multiply the learning rate by a factor after more than ``patience`` evaluations without improvement.

    NaN is not an improvement and is not counted. The state is saved with the run.

    Args:
        warmup_steps: Length of a linear warmup [optimizer steps], less than the run's length; 0 disables it.
        monitor: Name of the metric, ``val/<name>``.
        factor: Factor by which the learning rate is multiplied at every reduction.
        patience: Number of evaluations without improvement that are tolerated; the next one reduces the rate.
        threshold: Change above which a value counts as an improvement.
        threshold_mode: Whether ``threshold`` is a fraction of the best value or in the metric's unit.
        cooldown: Number of evaluations after a reduction that are not counted.
        final_fraction: Multiplier below which the rate is not reduced [1].
        total_steps: Length of the run [optimizer steps]. Supplied by ``assemble``.
        maximize: Whether larger is better; follows from the metric. Supplied by ``assemble``.

    Raises:
        ConfigError: If the warmup is not shorter than the run.

    Source: equals PyTorch's ``ReduceLROnPlateau`` with its defaults, stepped at every evaluation. They differ for NaN
    (which PyTorch counts), for relative changes of negative values such as R2 (where PyTorch counts an equal value as
    an improvement), and in the lowest rate, which is a fraction here.

    >>> settings = {"threshold": 0.0, "threshold_mode": "absolute", "cooldown": 0, "final_fraction": 0.0}
    >>> settings |= {"warmup_steps": 0, "total_steps": 9, "monitor": "val/loss", "maximize": False}
    >>> s, state, factors = plateau(factor=0.5, patience=1, **settings), Reaction(), []
    >>> for value in (1.0, 0.9, 0.9, 0.9, 0.9):
    ...     state = s.react(state, value)
    ...     factors.append(state.factor)
    >>> factors
    [1.0, 1.0, 1.0, 0.5, 0.5]
    """

    def improves(value: float, best: float) -> bool:
        margin = threshold * (abs(best) if threshold_mode == "relative" else 1)
        return value > best + margin if maximize else value < best - margin

    def react(state: Reaction, value: float) -> Reaction:
        if math.isnan(value):
            return state
        if state.best is None or improves(value, state.best):
            state = replace(state, best=value, waited=0)
        else:
            state = replace(state, waited=state.waited + 1)
        if state.cooling:
            return replace(state, cooling=state.cooling - 1, waited=0)
        if state.waited <= patience:
            return state
        return replace(state, factor=max(state.factor * factor, final_fraction), waited=0, cooling=cooldown)

    return Schedule(warmed_up(lambda step: 1.0, warmup_steps, total_steps), react=react)
