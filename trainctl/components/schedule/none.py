"""A constant learning rate."""

from trainctl.components.schedule.base import Multiplier


def none() -> Multiplier:
    """Keep the learning rate constant.

    >>> none()(1000)
    1.0
    """
    return lambda step: 1.0
