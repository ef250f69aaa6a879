"""No compression."""

from trainctl.components.compress.base import Compress


def none() -> Compress:
    """Train all weights in floating point."""
    return Compress()
