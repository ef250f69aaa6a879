"""Stop after a time."""

from dataclasses import replace
from typing import Annotated

from trainctl.components.early_stopping.base import Rule, Stopping


def time(*, minutes: Annotated[float, "(0, inf)"]) -> Rule:
    """Stop at the first evaluation after some time of training.

    The schedule does not know: it is cut off. ``loop.max_time`` ends a run between evaluations too, and moves the
    schedule on so that it is done by then.

    Args:
        minutes: Time spent training, over all sessions of a resumed run [min].

    Source: nobody's; Keras and others have the same as a callback.

    >>> rule = time(minutes=2.0)
    >>> rule(Stopping(), 0.5, 1, 119.0).stop, rule(Stopping(), 0.5, 1, 121.0).reason
    (False, '2 minutes of training are over')
    """

    def rule(state: Stopping, value: float, epoch: int, seconds: float) -> Stopping:
        if seconds < 60 * minutes:
            return state
        return replace(state, stop=True, reason=f"{minutes:g} minutes of training are over")

    return rule
