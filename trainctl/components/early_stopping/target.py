"""Stop when a metric is good enough."""

from dataclasses import replace
from typing import Annotated

from trainctl.components.early_stopping.base import Rule, Stopping
from trainctl.errors import ConfigError


def target(*, monitor: Annotated[str, "re:val/[a-z0-9_]+"], target: float | None, maximize: bool) -> Rule:
    """Stop at the first evaluation whose metric reaches a target value.

    Args:
        monitor: Name of the metric, ``val/<name>``.
        target: The target, in the metric's unit; null is an error, because no default suits every metric.
        maximize: Whether larger is better; follows from the metric. Supplied by ``assemble``.

    Raises:
        ConfigError: If the target is null.

    Source: the time-to-accuracy rule of C. Coleman et al., DAWNBench, 2017.

    >>> rule = target(monitor="val/accuracy", target=0.9, maximize=True)
    >>> rule(Stopping(), 0.89, 1, 0.0).stop, rule(Stopping(), 0.9, 1, 0.0).reason
    (False, 'val/accuracy=0.9 reached the target of 0.9')
    """
    if target is None:
        raise ConfigError(f"early_stopping.target=null: set it to the value of {monitor} at which training should stop")

    def rule(state: Stopping, value: float, epoch: int, seconds: float) -> Stopping:
        if value >= target if maximize else value <= target:  # never true for NaN
            return replace(state, stop=True, reason=f"{monitor}={value:.6g} reached the target of {target:g}")
        return state

    return rule
