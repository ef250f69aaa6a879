"""Stop after a given training time."""

from dataclasses import replace
from typing import Annotated

from trainctl.components.early_stopping.base import Rule, Stopping


def time(*, minutes: Annotated[float, "(0, inf)"]) -> Rule:
    """Stop at the first evaluation after a given training time.

    The schedule does not take this into account and is cut off. ``loop.max_time``, in contrast, also ends a run
    between evaluations, and advances the schedule so that it finishes in time.

    Args:
        minutes: Training time, including all earlier sessions of a resumed run [min].

    Source: no publication; Keras and others offer it as a callback.

    >>> rule = time(minutes=2.0)
    >>> rule(Stopping(), 0.5, 1, 119.0).stop, rule(Stopping(), 0.5, 1, 121.0).reason
    (False, 'reached 2 minutes of training')
    """

    def rule(state: Stopping, value: float, epoch: int, seconds: float) -> Stopping:
        if seconds < 60 * minutes:
            return state
        return replace(state, stop=True, reason=f"reached {minutes:g} minutes of training")

    return rule
