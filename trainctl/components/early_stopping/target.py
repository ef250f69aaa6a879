"""Stop when a metric is good enough."""

from dataclasses import replace
from typing import Annotated

from trainctl.components.early_stopping.base import Rule, Stopping
from trainctl.errors import ConfigError


def target(*, monitor: Annotated[str, "re:val/[a-z0-9_]+"], target: float | None, maximize: bool) -> Rule:
    """Stop at the first evaluation whose metric reaches a value.

    Args:
        monitor: Name of the metric, ``val/<name>``.
        target: The value, in the metric's unit; null is answered with an error, as none would suit every metric.
        maximize: Whether larger is better; follows from the metric. Supplied by ``assemble``.

    Raises:
        ConfigError: If no value is given.

    Source: the time-to-accuracy rule of C. Coleman et al., DAWNBench, 2017.

    >>> rule = target(monitor="val/accuracy", target=0.9, maximize=True)
    >>> rule(Stopping(), 0.89, 1, 0.0).stop, rule(Stopping(), 0.9, 1, 0.0).reason
    (False, 'val/accuracy=0.9 reached the target of 0.9')
    """
    if target is None:
        raise ConfigError(f"early_stopping.target is missing: give the value of {monitor} that is good enough")

    def rule(state: Stopping, value: float, epoch: int, seconds: float) -> Stopping:
        if value >= target if maximize else value <= target:  # never, if the value is not a number
            return replace(state, stop=True, reason=f"{monitor}={value:.6g} reached the target of {target:g}")
        return state

    return rule
